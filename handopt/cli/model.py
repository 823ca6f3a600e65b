import click
@click.command()
def model() -> None:
    """X"""
