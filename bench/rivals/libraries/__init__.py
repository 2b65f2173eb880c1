"""Other people's libraries, which only `tables/libraries.py` times: files like the rivals'.

What each needs, and where it skips if that is not there:

- genann: ``CFLAGS="-O3 -march=native -ffast-math" pip install --no-binary cynn cynn`` (minutes)
- dlib: ``apt-get install libdlib-dev``
- OpenCV: ``pip install "opencv-python-headless<5"``
- tiny-dnn: ``apt-get install tiny-dnn libcereal-dev libgemmlowp-dev libstb-dev``
- mlpack: ``pip install mlpack``, ``apt-get install libarmadillo-dev libcereal-dev libopenblas-dev``

All but OpenCV need a C++ compiler, too. `driver.py` and `driver.h` say how these are driven.
"""

from bench.rivals.libraries import dlib_mlp, genann, mlpack_ffn, opencv_mlp, tiny_dnn

__all__ = ["LIBRARIES"]

LIBRARIES = {
    library.NAME: library for library in (genann, dlib_mlp, opencv_mlp, tiny_dnn, mlpack_ffn)
}
