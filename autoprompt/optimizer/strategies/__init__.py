"""The search strategies: one module each, named like its strategy (see ``autoprompt.registry``)."""
