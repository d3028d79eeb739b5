"""The tasks and the judge as environments for RL trainers, one module for each library.

``verifiers`` and ``openenv`` need the extra of the same name. No other module imports these libraries. ``judging`` has
the code that both modules use.
"""
