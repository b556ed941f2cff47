#!/usr/bin/env bash
# The learning table of docs/results.md. Give it the folder of Kvasir-SEG at 352 x 352 pixels, laid
# out as train/images, train/masks, val/images, val/masks, and a folder for adapters and JSON.
#   bash docs/measure_learning.sh kvasir_seg_352 results-output
set -euo pipefail
data=$1
out=$2
mkdir -p "$out"
napari-sam-adapter evaluate --images "$data/val/images" --masks "$data/val/masks" --json \
	>"$out/base.json"
for seed in 0 1 2; do
	for run in "quick 1.5" "full 3"; do
		read -r gear minutes <<<"$run"
		name=$gear-$seed
		napari-sam-adapter train --images "$data/train/images" --masks "$data/train/masks" \
			--max-images 16 --gear "$gear" --minutes "$minutes" --seed "$seed" \
			--out "$out/$name.safetensors" --json >"$out/$name-training.json"
		napari-sam-adapter evaluate --images "$data/val/images" --masks "$data/val/masks" \
			--adapter "$out/$name.safetensors" --json >"$out/$name.json"
		python -c 'import json, sys
score, run = (json.load(open(path)) for path in sys.argv[2:])
print(sys.argv[1], "Dice %.4f IoU %.4f" % (score["dice"], score["iou"]), run["steps"], "steps",
      run["seconds"], "s")' "$name" "$out/$name.json" "$out/$name-training.json"
	done
done
