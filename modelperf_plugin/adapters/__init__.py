"""Adapters: one module for each framework, imported only by those who use it.

Each has ``learned``, which makes what the framework expects where a model is named, and ``ticket_of``, which returns
the ticket of an answer, so that :meth:`modelperf_plugin.ModelPerf.report` can be told later whether it was good.
"""
