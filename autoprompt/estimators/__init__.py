"""``PromptModel``, which fits one prompt, and ``PromptClassifier``, a scikit-learn classifier.

Import them from ``autoprompt``: only the classifier loads scikit-learn.
"""
