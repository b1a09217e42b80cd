#!/bin/sh
# Take out of a virtual environment what no job uses: libraries' own tests, what a compiler would want, MLflow's pages.
# By name, not wherever a folder is called so: other packages keep code in `tests`.
set -eu
cd "$1"/lib/python3*/site-packages
for package in matplotlib networkx numpy pandas pyarrow scipy sklearn sympy; do
    [ ! -d "$package" ] || find "$package" -type d -name tests -prune -exec rm -rf {} +
done
[ ! -d torch/bin ] || find torch/bin -type f ! -name torch_shm_manager -delete
rm -rf mlflow/server/js onnx/backend/test pyarrow/include torch/include torch/test
find . -name '*.a' -delete
