"""Durations as text: always with a unit."""

import commands
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autoprompt
from autoprompt.duration import duration_text, parse_duration, rounded_up
from autoprompt.errors import InputError, UsageError
from autoprompt.optimizer import SearchConfig


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("3m10s", 190), ("1.5m", 90), (" 2M ", 120)],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", "5.0", "-5", "1e3", " 90 ", ".5", "0"])
def test_a_number_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="without a unit; write 5m, 90s or 1h"):
        parse_duration(text, "--budget")


@pytest.mark.parametrize(
    "text", ["", "m", "0s", "0m0s", "-5m", "5 m", "soon", "nan", "5d", "10s5m", "٥m", "9" * 400 + "h"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no duration above 0; write 5m, 90s or 1h"):
        parse_duration(text, "--budget")


@settings(max_examples=300, deadline=None)
@given(st.floats(0.01, 1e6))
def test_what_is_printed_is_read_back(seconds: float) -> None:
    shown = parse_duration(duration_text(seconds))
    assert abs(shown - seconds) <= (30 if seconds >= 3600 else 1)
    assert seconds <= parse_duration(rounded_up(seconds)) <= seconds + 600


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.hms -+e", max_size=8))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) > 0
        assert text.strip()[-1] in "hms"
    except UsageError as error:
        assert str(error).endswith("write 5m, 90s or 1h.")  # noqa: PT017


def test_a_bare_budget_is_a_usage_error(capsys, tmp_path) -> None:
    board = tmp_path / "lb.sqlite"
    result = commands.call(capsys, "search", "rotten-tomatoes", "--budget", "5", "--leaderboard", board)
    commands.refused(result, 2, "--budget", "'5'", "write 5m, 90s or 1h")
    assert not board.exists()


def test_python_takes_seconds_or_a_text_with_a_unit(tmp_path) -> None:
    with pytest.raises(UsageError, match="budget is '5'"):
        autoprompt.search("rotten-tomatoes", budget="5", leaderboard=tmp_path / "lb.sqlite").to_dict()


@pytest.mark.parametrize("value", ["60", "60.5", '"60"', '"soon"', "true", "[60]"])
def test_a_time_limit_in_a_file_has_a_unit(tmp_path, value: str) -> None:
    place = tmp_path / "search.toml"
    place.write_text(f"[search]\ntime_limit = {value}\n")
    with pytest.raises(InputError, match=r"time_limit = .* in \[search\]; give a duration with its unit"):
        SearchConfig.load(place)


def test_a_time_limit_is_read_and_goes_on_as_seconds(tmp_path) -> None:
    place = tmp_path / "search.toml"
    place.write_text('[search]\ntime_limit = "1m30s"\n')
    config = SearchConfig.load(place)
    assert config.search.time_limit == 90
    assert SearchConfig.model_validate(config.model_dump(mode="json")) == config
