"""How kernels and their parts are compiled: parts once, inside the kernels that call them.

numba makes a complete library of every function that it compiles: it links in all that the function
calls, optimises the whole and emits machine code. A kernel is made of a hundred small functions,
ten levels deep, of which Python calls one; so the innermost loops would be optimised and emitted
ten times over, which takes most of a cold start. A ``PartLibrary`` is left as it is until the
kernel's own library, numba's usual one, takes it in with everything below it.

A ``KernelLibrary`` keeps the names of its parts to itself. numba numbers functions in each process
anew, so parts of kernels that two processes have compiled may have the same name and not the same
code; in a third one, which loads both from the disk, one kernel would call the other's.

This leans on numba's internals. Where they are not as expected, `PIPELINE` is None: parts are then
compiled in numba's usual way, to the same code, later, and nothing is kept on disk.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import llvmlite.binding as llvm
from numba.core.compiler_lock import global_compiler_lock

from fastbp.machine.forks import wait_for

__all__ = [
    "COMPILING",
    "KERNEL_PIPELINE",
    "PIPELINE",
    "compiling",
]

#: Held by the thread that compiles; forks wait for it.
COMPILING = global_compiler_lock
wait_for(COMPILING)


@contextmanager
def compiling() -> Iterator[None]:
    """Hold the compiler's lock, and let the garbage collector rest.

    Nearly all that numba makes on its way stays in use: looking through it again and again took a
    tenth of the time, and finds a tenth of the memory.
    """
    with COMPILING:
        was_on = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_on:
                gc.enable()


def _pipelines() -> tuple[Any, Any]:
    from numba.core import typed_passes, untyped_passes
    from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
    from numba.core.compiler import Compiler
    from numba.core.compiler_machinery import PassManager

    left_out = (
        *(untyped_passes.WithLifting, untyped_passes.InlineClosureLikes),
        *(untyped_passes.RewriteDynamicRaises, untyped_passes.MakeFunctionToJitFunction),
        *(untyped_passes.InlineInlinables, untyped_passes.FindLiterallyCalls),
        *(untyped_passes.LiteralUnroll, untyped_passes.LiteralPropagationSubPipelinePass),
        *(typed_passes.InlineOverloads, typed_passes.NopythonRewrites),
        *(typed_passes.NoPythonSupportedFeatureValidation, typed_passes.DumpParforDiagnostics),
    )
    for name in (
        *("finalize", "get_pointer_to_function", "_get_module_for_linking", "codegen"),
        "_optimize_final_module",
    ):
        if not hasattr(JITCodeLibrary, name):
            return None, None
    if not hasattr(JITCPUCodegen, "set_env"):
        return None, None

    class KernelLibrary(JITCodeLibrary):
        """A kernel with all of its parts, whose names nobody else is to see."""

        def _optimize_final_module(self) -> None:
            super()._optimize_final_module()
            # Not before: LLVM would inline whatever is called once, and run out of registers.
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == llvm.Linkage.linkonce_odr:
                    function.linkage = "internal"

    class PartLibrary(JITCodeLibrary):
        """Instructions of one function, and the libraries of those that it calls."""

        _shared_module: Any

        def finalize(self) -> None:
            """Put off all work."""
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            """There is no machine code: no function has an address."""
            del name
            return 0

        def _get_module_for_linking(self) -> Any:
            """Make one module of all that lies below, each function's instructions once."""
            if self._shared_module is None:
                module = _for_linking(self._final_module.clone())
                for library in _all_below(self):
                    if isinstance(library, PartLibrary):
                        module.link_in(_for_linking(library._final_module.clone()))
                    else:
                        module.link_in(library._get_module_for_linking(), preserve=True)
                self._shared_module = module
            return self._shared_module

        @property
        def codegen(self) -> Any:
            return _WithoutEnvironment(self._codegen)

    def _all_below(library: Any) -> list:
        """List all that a library needs, each once; numba's usual ones hold theirs already."""
        found: dict = {}
        waiting = list(library._linking_libraries)
        while waiting:
            below = waiting.pop()
            if below not in found:
                found[below] = None
                waiting += below._linking_libraries if isinstance(below, PartLibrary) else []
        return list(found)

    def _for_linking(module: Any) -> Any:
        """Let a module's functions be defined several times, inlined, and dropped where unused."""
        for function in module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"
        return module

    class _WithoutEnvironment:
        """A code generator that sets no environment, for which a function would need an address."""

        def __init__(self, codegen: Any) -> None:
            self._codegen = codegen

        def set_env(self, *_: Any) -> None:
            """Do nothing: parts raise no exception, which is what an environment serves."""

        def __getattr__(self, name: str) -> Any:
            return getattr(self._codegen, name)

    class PartCompiler(Compiler):
        """numba's compiler, into a `PartLibrary`."""

        library_class: Any = PartLibrary

        def define_pipelines(self) -> list:
            """Leave out what finds nothing to do, unless a function defines others."""
            (usual,) = super().define_pipelines()
            constants = self.state.func_id.code.co_consts
            if any(isinstance(constant, CodeType) for constant in constants):
                return [usual]
            manager = PassManager(usual.pipeline_name)
            for step in usual.passes:
                if step[0] not in left_out and step not in manager.passes:
                    manager.passes.append(step)
            manager.finalize()
            return [manager]

        def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
            if library is None:
                library = self.library_class(targetctx.codegen(), "fastbp")
                library.enable_object_caching()
            super().__init__(typingctx, targetctx, library, *rest)

    class KernelCompiler(PartCompiler):
        """numba's compiler, into a `KernelLibrary`."""

        library_class = KernelLibrary

    return PartCompiler, KernelCompiler


PIPELINE: Any
KERNEL_PIPELINE: Any
try:
    PIPELINE, KERNEL_PIPELINE = _pipelines()
except (ImportError, AttributeError):
    PIPELINE = KERNEL_PIPELINE = None
