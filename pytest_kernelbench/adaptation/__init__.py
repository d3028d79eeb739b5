"""Test-time training: the policy's weights are updated from rewards. It uses the evaluator and the records of search.

A *step* is one version of the weights and its rollouts. Step 0 is the policy as loaded; the update from the rollouts
of step ``s`` makes the weights of step ``s + 1``. A *lineage* is one such chain: one group of tasks under one way to
sample, judge and adapt. Strategies that differ only in how many steps they take, or in which step they choose,
share it.

``adaptation.jsonl`` holds one row a step, written once every rollout of the step has its evaluation:

==================== ===================================================================================================
``lineage``          12 hexadecimal digits; the rows of one lineage are steps 0, 1, 2, ... in order
``adaptation_sha256`` as in ``run.json``'s strategy: the rows that belong to a strategy (one lineage, or one a task
                     with ``scope = "task"``)
``group``            ids of all tasks of the lineage
``step``             0, 1, 2, ...
``policy_version``   as in ``completions.jsonl``; at step 0 the loaded policy's, later ``<loaded>+<lineage>.<step>``;
                     null where the update failed (then ``stopped`` says why, and ``tasks`` is empty)
``sampling_sha256``  what this step's rows of ``completions.jsonl`` and ``evaluations.jsonl`` carry. At step 0 the
                     plain hash of the sampling settings, so that best-of-N has the same rows
``first_index``      the step's candidates of a task are ``first_index + 0, 1, 2, ...``: indices run on over the
                     steps, so no draw is made twice. The first ``rollouts`` of them may train, the ``holdout``
                     after them never do
``rollouts``         candidates a task that are trained on (``sampling.k``)
``holdout``          further candidates a task, for the choice of a step
``checkpoint``       folder of the adapter, relative to the run folder; null at step 0
``trained_on``       ids of the tasks whose rollouts make the next version
``tasks``            by task id: ``rollouts``, ``correct``, ``void``, ``fast_1`` (verified, with margin),
                     ``fast_1_raw``, ``distinct`` (sources), ``sampled_tokens``, all counts over the first ``rollouts``
                     candidates; ``reward`` (their mean); ``holdout`` (the same counts over the holdout) or null
``entropy``          nats a token of the sampling distribution, estimated from the rollouts; null where not known
``kl``               nats a token from this version to the loaded one, at the loss's temperature, estimated from
                     the rollouts; null at step 0
``update``           how these weights were made from the step before, or null at step 0: ``loss``, ``grad_norm``,
                     ``learning_rate``, ``rollouts`` (with an advantage other than 0), ``advantage_mean``,
                     ``advantage_sd``, ``advantage_min``, ``advantage_max`` (over tokens), ``ratio_mean``,
                     ``ratio_min``, ``ratio_max`` (importance ratios before the update), ``update_tokens`` (prompt and
                     answer, each pass), ``teacher_tokens``, ``seconds``
``stopped``          null, or one line: which guardrail ended the lineage here, and on what measurement
==================== ===================================================================================================

Other files with versions: ``completions.jsonl`` has ``policy_version``. ``selections.jsonl`` has ``policy_version`` and
``step`` (of the chosen candidate), ``checkpoint_step`` (the step whose weights the strategy chose; null if the
candidates of every step counted) and ``cost`` (with the task's share of the cost of training). Each strategy in
``run.json`` has ``adaptation`` (its settings, or null) and ``adaptation_sha256``.
"""
