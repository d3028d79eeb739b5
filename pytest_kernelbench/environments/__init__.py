"""Adapters: the tasks and the judge as an environment of a library that trainers use, one file for each library.

``verifiers`` and ``openenv`` need the extra of that name, and nothing else here imports either. ``judging`` is what
both share.
"""
