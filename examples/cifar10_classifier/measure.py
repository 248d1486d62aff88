"""Measure the example: each network with each learning rate and seed, one training after another.

    python measure.py --data_dir data/cifar-10-batches-py --save_dir runs [--seeds 1]
        [--learning_rates 0.1,0.001] [--convs torch,custom] [--num_epoch 25]
        [--valid_batch NAME] [--fresh_optimizer True]

Every training is a run of solution.py in a folder of its own; one that is finished is not repeated,
and one that was interrupted goes on. The table goes to SAVE_DIR/results.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run every cell and write the table."""
    parser = argparse.ArgumentParser(description="Measure the CIFAR-10 example.")
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--save_dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--learning_rates", default="0.1,0.001")
    parser.add_argument("--convs", default="torch,custom")
    parser.add_argument("--num_epoch", type=int, default=25)
    parser.add_argument("--valid_batch", default="auto", help="as in solution.py")
    parser.add_argument("--fresh_optimizer", default="False", help="as in solution.py")
    args = parser.parse_args()
    lines = [
        "| conv | learning rate | runs | test accuracy % | minutes a run |",
        "|---|--:|--:|--:|--:|",
    ]
    for rate in args.learning_rates.split(","):
        for conv in args.convs.split(","):
            found = [measure(args, conv, rate, seed) for seed in range(args.seeds)]
            accuracies = [100 * accuracy for accuracy, _ in found]
            spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
            minutes = statistics.mean(seconds for _, seconds in found) / 60
            cells = (conv, rate, len(found), f"{statistics.mean(accuracies):.2f}{spread}")
            lines.append(f"| {' | '.join(map(str, cells))} | {minutes:.1f} |")
            (args.save_dir / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def measure(args: argparse.Namespace, conv: str, rate: str, seed: int) -> tuple[float, float]:
    """Return test accuracy and training seconds of one cell."""
    folder = args.save_dir / f"{conv}_{rate}_{seed}"
    seconds_file = args.save_dir / f"{folder.name}.json"
    flags = ["--conv", conv, "--data_dir", str(args.data_dir), "--save_dir", str(folder)]
    if not seconds_file.exists():
        begin = time.monotonic()
        settings = ["--learning_rate", rate, "--num_epoch", str(args.num_epoch)]
        settings += ["--valid_batch", args.valid_batch, "--fresh_optimizer", args.fresh_optimizer]
        solution(
            *flags,
            *settings,
            "--seed",
            str(seed),
            "--log_dir",
            str(args.save_dir / "logs" / folder.name),
        )
        seconds_file.write_text(json.dumps({"seconds": time.monotonic() - begin}))
    solution(*flags, "--mode", "test")
    metrics = json.loads((folder / "test_metrics.json").read_text(encoding="utf-8"))
    return metrics["accuracy"], json.loads(seconds_file.read_text())["seconds"]


def solution(*arguments: str) -> None:
    """Run solution.py."""
    subprocess.run([sys.executable, str(HERE / "solution.py"), *arguments], check=True)


if __name__ == "__main__":
    main()
