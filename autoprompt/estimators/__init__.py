"""Estimators in the manner of scikit-learn: ``prompt_model`` fits one prompt, ``prompt_classifier`` is an estimator.

Import them from ``autoprompt``: scikit-learn is loaded with the classifier alone.
"""
