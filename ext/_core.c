/*
 * The module gen5astro._core: buffers in, numbers out. The only file here that knows Python, and only its stable ABI.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "ingest.h"

#include <string.h>

static int is_native(const char *format, char code)
{
    return format != NULL && (strcmp(format, (char[]){code, 0}) == 0 || strcmp(format, (char[]){'=', code, 0}) == 0);
}

/* Whether census is a writable float64 (band, 4) and out a float32 (band, y, x); sets the exception where not. */
static int check_shapes(const Py_buffer *out, const Py_buffer *census)
{
    if (out->ndim != 3 || !is_native(out->format, 'f')) {
        PyErr_SetString(PyExc_ValueError, "out must be native float32 (band, y, x)");
        return 0;
    }
    if (census->ndim != 2 || !is_native(census->format, 'd') || census->shape[0] != out->shape[0] ||
        census->shape[1] != 4 || (uintptr_t)census->buf % sizeof(double) != 0) {
        PyErr_SetString(PyExc_ValueError, "census must be native float64 (band, 4)");
        return 0;
    }
    return 1;
}

static int parse_layout(const char *text, ingest_layout *layout)
{
    if (strcmp(text, "chw") == 0) {
        *layout = INGEST_CHW;
    } else if (strcmp(text, "hwc") == 0) {
        *layout = INGEST_HWC;
    } else {
        PyErr_Format(PyExc_ValueError, "layout must be 'chw' or 'hwc', not '%.20s'", text);
        return 0;
    }
    return 1;
}

static PyObject *ingest_buffers(const Py_buffer *wire, const Py_buffer *out, const Py_buffer *census,
                                ingest_dtype dtype, ingest_layout layout)
{
    const size_t bands = (size_t)out->shape[0];
    const size_t pixels = (size_t)out->shape[1] * (size_t)out->shape[2];
    ingest_census *counted = PyMem_Malloc(bands > 0 ? bands * sizeof *counted : 1);
    if (counted == NULL) {
        return PyErr_NoMemory();
    }
    uint64_t digest = 0;
    ingest_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ingest_row(wire->buf, (size_t)wire->len, dtype, layout, bands, pixels, out->buf, (size_t)out->len, counted,
                        &digest);
    Py_END_ALLOW_THREADS
    if (status == INGEST_OK) {
        double *row = census->buf;
        for (size_t band = 0; band < bands; band++, row += 4) {
            row[0] = (double)counted[band].finite;
            row[1] = (double)counted[band].zeros;
            row[2] = counted[band].low;
            row[3] = counted[band].high;
        }
    }
    PyMem_Free(counted);
    if (status != INGEST_OK) {
        PyErr_SetString(PyExc_ValueError, ingest_message(status));
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(digest);
}

PyDoc_STRVAR(ingest_doc,
             "ingest(wire, out, census, dtype, layout)\n--\n\n"
             "Fill `out` (float32, (band, y, x)) and `census` (float64, (band, 4)) from the bytes of `wire`; return the\n"
             "XXH64 of `out` as little-endian bytes. `gen5astro.io.ingest.ingest_row` is its face.");

static PyObject *core_ingest(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *wire_object, *out_object, *census_object, *answer = NULL;
    const char *dtype_text, *layout_text;
    Py_buffer wire, out, census;
    ingest_dtype dtype;
    ingest_layout layout;
    if (!PyArg_ParseTuple(arguments, "OOOss:ingest", &wire_object, &out_object, &census_object, &dtype_text,
                          &layout_text)) {
        return NULL;
    }
    if (!parse_layout(layout_text, &layout)) {
        return NULL;
    }
    if (ingest_parse_dtype(dtype_text, &dtype) != INGEST_OK) {
        PyErr_SetString(PyExc_ValueError, ingest_message(INGEST_DTYPE));
        return NULL;
    }
    if (PyObject_GetBuffer(wire_object, &wire, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    if (PyObject_GetBuffer(out_object, &out, PyBUF_WRITABLE | PyBUF_ND | PyBUF_FORMAT) != 0) {
        goto release_wire;
    }
    if (PyObject_GetBuffer(census_object, &census, PyBUF_WRITABLE | PyBUF_ND | PyBUF_FORMAT) != 0) {
        goto release_out;
    }
    if (check_shapes(&out, &census)) {
        answer = ingest_buffers(&wire, &out, &census, dtype, layout);
    }
    PyBuffer_Release(&census);
release_out:
    PyBuffer_Release(&out);
release_wire:
    PyBuffer_Release(&wire);
    return answer;
}

static PyMethodDef methods[] = {
    {"ingest", core_ingest, METH_VARARGS, ingest_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "gen5astro._core", "Compiled ingest pass.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
