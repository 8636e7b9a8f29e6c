"""
ONNX's own checker, shapes and types included, on files that we wrote: `python tools/golden/check_onnx.py MODEL.onnx …`.
Needs `onnx`. Tells its version and each file that passed; ends with the checker's complaint at the first that does not.
"""
import sys

import onnx

if __name__ == '__main__':
    print(f'onnx {onnx.__version__}')
    for path in sys.argv[1:]:
        onnx.checker.check_model(path, full_check=True)
        print(f'{path}: passed')
