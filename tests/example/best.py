"""A prompt found by autoprompt; standard library only. render(text=...) gives the text up to the label."""

TEMPLATE = "Document: {text}\nI'm would call that {label}"
LABEL_WORDS = {'rotten': 'negative', 'fresh': 'positive'}
SETTINGS = {'tuning': 'tail', 'learning_rate': 0.0005, 'batch_size': 4, 'epochs': 20, 'rank': 16}
PROVENANCE = {'entry': '2d3898328467c34df15304ef06fa4f5dd8bdceafce22c3340b2f8572e58edb7b', 'run': 'c04a633828fb', 'model': 'smollm2-135m', 'model_revision': '', 'family': 'causal', 'max_length': 128, 'corpus': 'rotten-tomatoes', 'fingerprint': 'a81d30ad92114ab841110ded2a5b684b27a61e1342becae475954e5e689e3d70', 'scores': {'validation': {'loss': 0.13466804916572528, 'accuracy': 0.9375, 'metric': 'accuracy', 'value': 0.9375, 'n': 64}, 'test': {'loss': 0.7733997761600893, 'accuracy': 0.8225, 'metric': 'accuracy', 'value': 0.8225, 'n': 400}}}

_SEGMENTS = [(None, 'Document: '), ('text', None), (None, "\nI'm would call that "), ('label', None)]
_CHAT = None


def render(*, label=None, **fields):
    """The prompt's text up to the label; with label (a key of LABEL_WORDS, or any text where there are none), all of
    it."""
    text = ""
    for slot, literal in _SEGMENTS:
        if slot is None:
            text += literal
        elif slot != "label":
            text += _text(fields[slot])
        else:
            if _CHAT:
                text = _CHAT[0] + text.rstrip() + _CHAT[1]
            if label is None:
                break
            text += LABEL_WORDS[label] if LABEL_WORDS else label
    return text


def _text(value):
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_inline(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "\n".join(f"{number}: {_inline(item)}" for number, item in enumerate(value, 1))
    return str(value)


def _inline(value):
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_inline(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_inline(item) for item in value)
    return str(value)
