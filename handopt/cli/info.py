import click
@click.command()
def info() -> None:
    """X"""
