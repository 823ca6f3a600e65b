"""What the tests share: problems, slow twins, factories, stand-ins."""
