"""What ACEBench asks a model, in our words. The three phrases in the special prompt are the benchmark's: its score
looks for them."""

NORMAL = """\
Read the dialogue and call the functions that carry out what the user wants now. Take the values of the arguments from \
the dialogue, from the current time and from what is known about the user; leave out optional parameters that none of \
these settles. Several calls may be needed, also of one function. Answer with the calls alone."""

SPECIAL = """\
Read the dialogue and check, before any call, whether it can be made. If all is well, answer with the calls alone. \
If not, make no call and answer with the one sentence below that fits, word for word, with the words in parentheses \
replaced:
- The user has not said all that a function needs, its required parameters: \
["Missing necessary parameters (key1, key2) for the api (ApiName)"]
- A value that the user gave breaks what the function's description demands of it, such as its format or range: \
["There is incorrect value (value) for the parameters (key) in the conversation history."]
- None of the functions can do what the user wants: \
["Due to the limitations of the function, I cannot solve this problem."]"""
