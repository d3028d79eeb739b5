"""Judging as a service: ``wire`` is what is sent, ``app`` answers, ``deployment`` runs on Ray Serve, ``client`` asks.

    POST /v1/evaluate   a task and sources; one JSON object a line as each evaluation is ready, then {"done": N}
    GET  /v1/settings   device, protocol and hardware of the judges
    GET  /health        200 while requests are answered
    GET  /metrics       Prometheus text

The trust model is that of one machine: a judge trusts its own host, and a server trusts whoever has its token. What a
candidate does stays in the judge's sandbox, on the judge's host.
"""
