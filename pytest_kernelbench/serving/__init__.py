"""Judging over HTTP: ``client`` sends requests, ``wire`` defines them, ``app`` answers, ``deployment`` starts it all.

    POST /v1/evaluate   a task and sources; one JSON object a line as each evaluation is ready, then the number done
    GET  /v1/settings   device, protocol and hardware of the judges
    GET  /health        200 while requests are answered
    GET  /metrics       Prometheus text

A judge trusts its own host, as without a server. A server trusts every client that has its token. A candidate runs in
the judge's sandbox on the judge's host.
"""
