"""How poses are compared with an observation: the terms, their sum and its derivatives."""
