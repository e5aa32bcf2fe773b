"""Models of text that data trains: linear classifiers over hashed n-grams, n-gram language models, importance weights.

Each model is one file that says what it is, what it was trained on and how good it is; `signals/` turns them into
columns. Training reads its input as a stream and holds what its page in docs/quality.md says, never the data.
"""
