"""Work that is measured in a process of its own: `python -m bench.tasks NAME ARGUMENT…` prints what came, as JSON."""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from bench.measure import peak_memory, status


def pca(root: str) -> dict[str, float]:
    """A PCA from every filter, none of it from summaries."""
    import filterdb
    from filterdb.analysis import PCA
    from filterdb.query import places, scan

    with filterdb.open(root, threads=2) as database:
        begin = time.perf_counter()
        everything = places.of_split(database.split("true"), ())
        PCA.from_moments(scan.moments(everything, 2)[()])
        return {"seconds": time.perf_counter() - begin, "n_filters": sum(place.n_rows for place in everything)}


def kl(root: str) -> dict[str, float]:
    """The divergence of robust and normal networks on the basis of both."""
    import filterdb

    with filterdb.open(root, threads=2) as database:
        begin = time.perf_counter()
        found = database.kl("robust", "NOT robust").row(0, named=True)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "n_filters": database.split("true").count(), "kl": found["kl"]}


def authors(file: str) -> float:
    """The same in the way of the paper's notebooks."""
    from bench.authors import divergence

    return divergence(Path(file))


def report(root: str, out: str) -> int:
    """All figures and tables."""
    from filterdb import cli

    return cli.run(["--lake", root, "report", "--out", out])


def ingest_mapped(folder: str, width: str) -> dict[str, int]:
    """Bytes that ingestion holds at most beside the mapped files of a network, and bytes of its largest layer."""
    from bench.make_paper_lake import layer_of
    from filterdb.lake.lake import Lake
    from filterdb.lake.writer import write_network
    from filterdb.network import Facts, Network

    def network(name: str, channels: int) -> Network:
        return Network(
            Facts(model=name, source="bench", name=name),
            tuple(layer_of(_mapped(Path(folder) / f"{name}-{i}.npy", channels**2), channels, i) for i in range(3)),
        )

    lake = Lake.create(Path(folder) / "mapped.lake")
    write_network(lake, network("small", 256), threads=2)
    large = network("large", int(width))
    before = status("RssAnon")
    with _Watch() as watch:
        write_network(lake, large, threads=2)
    return {"held": watch.most - before, "largest_layer": 36 * large.layers[0].n_filters}


def _mapped(path: Path, n_filters: int) -> np.ndarray:
    rng = np.random.default_rng(n_filters)
    np.save(path, rng.standard_normal((n_filters, 9), dtype=np.float32))
    return np.load(path, mmap_mode="r")


class _Watch:
    """Looks every few milliseconds at the memory that is the process's own, mapped files left out."""

    def __init__(self) -> None:
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.most = max(self.most, status("RssAnon"))

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()


TASKS = {task.__name__: task for task in (pca, kl, authors, report, ingest_mapped)}

if __name__ == "__main__":
    result = TASKS[sys.argv[1]](*sys.argv[2:])
    print("\n" + json.dumps({"peak": peak_memory(), "result": result}))
