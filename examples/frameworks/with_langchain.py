"""A chain of LangChain whose model is chosen for each call.

Run it with ``python examples/frameworks/with_langchain.py``. The models are LangChain's own for tests: some of their
answers are no JSON. The parser behind each says which are good. The example needs no network, and leaves no files
behind.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate

import modelperf_plugin as mp
from modelperf_plugin.adapters.langchain import learned, ticket_of

SKILL = {"small": 0.3, "medium": 0.6, "large": 0.9}
RNG = random.Random(7)
PROMPT = ChatPromptTemplate.from_messages([("human", "As JSON, please: {question}")])


def answers(name: str) -> Iterator[AIMessage]:
    """Yield the answers of a model, which are JSON as often as its skill says."""
    usage = {"input_tokens": 200, "output_tokens": 40, "total_tokens": 240}
    while True:
        text = '{"answer": 42}' if RNG.random() < SKILL[name] else "I think it is 42"
        yield AIMessage(text, usage_metadata=usage)


def main() -> None:
    """Call a chain 200 times, stream an answer, and judge it later."""
    with mp.ModelPerf({"exploration": {"strategy": "epsilon_greedy"}}, store=":memory:", seed=1) as perf:
        models = {name: GenericFakeChatModel(messages=answers(name)) for name in SKILL}

        # Behind each model its parser: an answer that it rejects is a failure, and the next model is asked.
        parsed = {name: model | JsonOutputParser() for name, model in models.items()}
        chain = PROMPT | learned(perf, parsed, task_type="to-json")
        found = chain.batch([{"question": "what is it?"}] * 200, {"max_concurrency": 1}, return_exceptions=True)
        print(f"{len(found)} calls: {sum(isinstance(each, dict) for each in found)} parsed")

        # A stream, and a verdict on it that comes later.
        message = None
        for chunk in (PROMPT | learned(perf, models, task_type="to-json")).stream({"question": "what is it?"}):
            message = chunk if message is None else message + chunk
        if (ticket := ticket_of(message)) is not None:
            print("a user says later that it was wrong:", perf.report(ticket, success=False))

        if (decision := perf.explain("to-json")) is not None:
            print(f"next time: {decision.model_id}; {decision.reason}")


if __name__ == "__main__":
    main()
