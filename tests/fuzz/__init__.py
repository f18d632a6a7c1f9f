"""Fuzzing of every way in: bytes and values of any kind, which must cost a host nothing but themselves."""
