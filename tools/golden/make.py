"""Makes all golden files anew: `python tools/golden/make.py`, or only those named: `… make.py linear scan`."""
import importlib
import os
import sys

FAMILIES = ('elementwise', 'reductions', 'linear', 'indexing', 'shape', 'convolution', 'pooling', 'composites', 'quantised', 'scan', 'optimisers', 'gpt2')

if __name__ == '__main__':
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    for family in sys.argv[1:] or FAMILIES:
        importlib.import_module(family).main()
