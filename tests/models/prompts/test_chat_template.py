"""Chat templates: rendered as transformers renders them, and stopped where they never end."""

from pathlib import Path

import commands
import pytest
import tiny
import tiny_families
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprompt.errors import InputError
from autoprompt.models import load_model
from autoprompt.models.prompts.chat_template import render_chat
from autoprompt.models.prompts.special_tokens import chat_format

USER = [{"role": "user", "content": "autoprompt user message"}]
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "help.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = """\
{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = '26 Jul' %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = '' %}
{%- endif %}
{{- '<|start|>system\\n' }}
{%- if tools is not none %}{{- 'tools' }}{%- endif %}
{{- date_string ~ system }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|' + message['role'] + '|>\\n'+ message['content'] | trim + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
{%- endif %}
"""
MISTRAL = """\
{{ bos_token }}{% set ns = namespace(index=0, text='') %}
{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles') }}{% endif %}
    {% if message['role'] == 'user' %}
        {% set ns.index = ns.index + 1 %}
        {{ '[INST] ' + message['content'] + ' [/INST]' }}
    {% else %}
        {% generation %}{{ message['content'] + eos_token }}{% endgeneration %}
    {% endif %}
{% endfor %}
"""
MACROS = """\
{%- macro shown(x, deep=0) -%}
    {%- if x is mapping -%}
        {%- for k, v in x|dictsort -%}{{ k }}={{ shown(v, deep + 1) }};{%- endfor -%}
    {%- else -%}{{ x|tojson }}{%- endif -%}
{%- endmacro -%}
{% for m in messages %}{{ shown(m) }}{% if loop.last %}{% break %}{% endif %}{% endfor %}
{%- set d = dict(a=1) -%}{{ d.items()|list }}{{ '%s-%d' % ('x', 3) }}{{ messages|length * 2 }}
{{ [1, 2][::-1] }}{{ 'a,b'.split(',')|join('+') }}
"""
ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "recursion": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "memory": "{{ 'a' * 10**10 }}",
    "lists": "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "output": "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "text": "{{ lipsum(n=99999999) }}",
    "width": "{{ '%9999999999d' % 1 }}",
    "size": "x" * 300_000,
    "depth": "{{ " + "(" * 4_000 + "1" + ")" * 4_000 + " }}",
}
HOSTILE = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
    "import": "{% import 'os' as os %}{{ os.system('touch canary') }}",
    "include": "{% include '/etc/passwd' %}",
    "namespace": "{{ namespace(__class__=1) }}",
    "mutation": "{{ messages.append(1) }}",
    "syntax": "{% for %}",
    "raising": "{{ raise_exception('not for users\nat all') }}",
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_families.chatting()


@pytest.mark.parametrize("template", [tiny_families.CHAT, CHATML, LLAMA, MISTRAL, MACROS])
@pytest.mark.parametrize("turns", [1, 3])
def test_it_is_rendered_as_transformers_renders_it(tokenizer, template, turns):
    messages = [*USER, {"role": "assistant", "content": "an answer"}, *USER][:turns]
    tokenizer.chat_template = template
    theirs = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert render_chat(template, messages, tokenizer.special_tokens_map) == theirs


@settings(max_examples=10, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40), st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_comes_through(content, around):
    quoted = around.replace("\\", "\\\\").replace("'", "\\'").replace("\r", "\\r")
    messages = [{"role": "user", "content": content}]
    found = render_chat(f"{{{{ '{quoted}' }}}}{{{{ messages[0].content }}}}", messages, {})
    assert found == around.replace("\r\n", "\r\n") + content


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("recursion", "lists", "text") else name
        for name in ENDLESS
    ],
)
def test_one_that_never_ends_is_stopped(tokenizer, name):
    tokenizer.chat_template = ENDLESS[name]
    with pytest.raises(InputError, match="leave --chat out") as caught:
        chat_format(tokenizer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_one_that_reaches_out_is_refused(tokenizer, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    tokenizer.chat_template = HOSTILE[name]
    with pytest.raises(InputError, match="chat template fails") as caught:
        chat_format(tokenizer)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [{"default": 7}, {"other": "x"}, {}, None, "", "no message", 7])
def test_what_is_no_template_is_refused(tokenizer, value):
    tokenizer.chat_template = value
    with pytest.raises(InputError, match="leave --chat out"):
        chat_format(tokenizer)


def test_modules_beside_it_are_not_run(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("jinja2", "json", "markupsafe", "resource", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')\n")
    tokenizer.chat_template = CHATML
    assert chat_format(tokenizer)[1].startswith("<|im_end|>")
    assert not (tmp_path / "canary").exists()


def test_a_model_s_endless_template_ends_a_command_with_a_sentence(capsys, tmp_path, corpus_folder):
    folder: Path = tiny.save_llama(tmp_path / "model", tiny_families.chatting())
    assert load_model(folder, chat=True).encoder.chat is not None  # type: ignore[attr-defined]
    (folder / "chat_template.jinja").write_text(ENDLESS["loops"])
    done = commands.call(capsys, "search", corpus_folder, "--model", folder, "--chat", "--max-evaluations", 1,
                         "--leaderboard", tmp_path / "lb.sqlite")  # fmt: skip
    commands.refused(done, 3, "chat template", "leave --chat out")
