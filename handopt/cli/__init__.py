"""The command line. Only click is imported here; each command imports what it needs when it runs."""
