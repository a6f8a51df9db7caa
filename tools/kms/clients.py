"""boto3's clients: what they send and get, to compare with the audit log, and what they are refused."""

import dataclasses

from botocore.exceptions import ClientError
from common import expect, expect_equal, failure


@dataclasses.dataclass
class Call:
    operation: str
    parameters: dict
    answer: dict

    @property
    def request_id(self):
        return self.answer["ResponseMetadata"]["RequestId"]

    @property
    def error(self):
        return self.answer.get("Error", {}).get("Code")


class Recorder:
    def __init__(self):
        self.calls = []

    def listen(self, client):
        client.meta.events.register("before-parameter-build.kms", self._before)
        client.meta.events.register("after-call.kms", self._after)

    def _before(self, params, context, **_):
        context["recorded"] = dict(params)

    def _after(self, parsed, model, context, **_):
        self.calls.append(Call(model.name, context["recorded"], dict(parsed)))

    def secrets(self):
        """All plaintexts and ciphertexts, of requests and answers. Short ones could be in a log by chance."""
        members = [members for call in self.calls for members in (call.parameters, call.answer)]
        blobs = {blob for each in members for name, blob in each.items() if name in ("Plaintext", "CiphertextBlob")}
        return {blob for blob in blobs if len(blob) >= 12}


def refused(code, call, **parameters):
    """Calls, expects an error of this code, and returns its message."""
    error = failure(ClientError, call, **parameters)
    expect(error, f"{code} of {parameters}, not an answer")
    got = error.response["Error"]
    expect_equal(got["Code"], code, f"the error of {parameters} ({got.get('Message')!r})")
    return got.get("Message", "")
