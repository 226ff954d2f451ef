# Each kind of test has a fragment of its own, included here.
