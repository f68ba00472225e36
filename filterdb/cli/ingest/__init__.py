"""Commands that bring networks in: ingest robustbench, timm, checkpoint, onnx, hdf5, table."""

import typer

from filterdb.cli.ingest import files, published, zoos

app = typer.Typer(
    help="Bring networks into the lake; running a command again finishes what is left.", no_args_is_help=True
)
app.command("robustbench")(zoos.robustbench)
app.command("timm")(zoos.timm)
app.command("checkpoint")(files.checkpoint)
app.command("onnx")(files.onnx)
app.command("hdf5")(published.hdf5)
app.command("table")(files.table)
