"""The embedded tiny language model: its corpus, its training, and the check of every template on a machine.

    corpus/      templates: strategies for each task, correct and wrong, as module texts
    execute.py   runs every template on this machine and compares what it finds with the labels
    corpus/mixture.py   how often each template is drawn
    train.py     tokenizer and model from the mixture
    prompt.py    the prompt, for training and for sampling alike

The policy shows that the machinery works on a laptop. It was trained on solutions of the benchmark's own
tasks, and how often it writes which one was chosen here: its scores say nothing about any other model.
"""
