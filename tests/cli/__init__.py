"""Tests of the command line: in this process, in real processes, and on a real terminal."""
