"""The client of teacher and judge: asks any OpenAI-compatible endpoint, many things at a time, and loses no reply.

Every reply is in the ledger the moment it exists, under a key of everything it depends on, so that a run that was
killed asks only for what is missing, in either mode: `direct` sends requests, `batch` submits files of them to the
Batch API. What an error means decides what happens:

    the endpoint is busy or away (408, 409, 429, 5xx, time-outs, broken connections)  waits and asks again
    the answer is no chat completion                                                  is kept as it is; asks again
    the image goes against the endpoint's content policy                              is recorded like a reply
    the image itself is refused, unreadable, or was asked too often in vain           is skipped until the next run
    no request can succeed (401, 403, 404, redirects, spent quota; ten skipped in a row)   stops the run with one line
    one more request could pass the budget                                            stops the run before it is sent
    a file cannot be written                                                          stops the run with one line

`account` says what each of them costs. A ledger has one writer: a second run on it is a `UserError` at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from sharegpt4v.endpoint.batch import ask_by_batch, withdraw_batches
from sharegpt4v.endpoint.direct import ask_directly
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.endpoint.run import Kept, Remarks, Run, Stopped
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.ledger import Ledger


async def ask(
    requests: Iterable[AnyRequest],
    settings: ChatSettings,
    ledger: Ledger,
    *,
    title: str = "seed captions",
    noun: str = "images",
    remarks: Remarks | None = None,
    kept: Kept | None = None,
) -> dict[str, str]:
    """Ask for every request that `ledger` does not hold yet; return the reasons of those skipped, by key.

    Replies are records with what the request says of itself, model, answered_by (the model as the endpoint names it),
    text, finish_reason, prompt_tokens, completion_tokens, time (UTC) and attempts, the batch's id or the reservation
    by which it came, `charged_as` where the endpoint did not tell its tokens, and what `remarks` has to say of the
    record. Requests with equal keys are asked once. `title` and `noun` say in messages what is asked for, and about
    what. The budget counts all replies of the ledger, and all requests without one. `UserError`: no key, a fatal
    answer, a spent budget, a full disk; replies under way are kept first.
    """
    with Run(settings, ledger, title, noun, remarks, kept) as run:
        missing = run.missing(requests)
        with contextlib.suppress(Stopped):
            if settings.mode == "batch":
                await ask_by_batch(run, missing)
            else:
                await withdraw_batches(run)
                left = {key: one for key, one in missing.items() if key not in ledger and key not in run.skipped}
                if left:
                    await ask_directly(run, left)
        return run.finish()
