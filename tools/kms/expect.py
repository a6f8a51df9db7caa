"""What the scripts here demand, each with what was expected and what came."""

from botocore.exceptions import ClientError


def expect(holds, what):
    if not holds:
        raise SystemExit(f"does not hold: {what}")


def expect_equal(got, expected, what):
    expect(got == expected, f"{what}: expected {expected!r}, got {got!r}")


def refused(code, call, **parameters):
    """Calls, demands an error of this code, and returns its message."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        got = error.response["Error"]
        expect_equal(got["Code"], code, f"the error of {parameters} ({got.get('Message')!r})")
        return got.get("Message", "")
    answer.pop("ResponseMetadata", None)
    raise SystemExit(f"does not hold: expected {code} of {parameters}, got an answer with {sorted(answer)}")
