/*
 * The module gen5astro._core: buffers in, numbers out. The only file here that knows Python, and only its stable ABI.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "ingest.h"
#include "npz.h"

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

static void write_census(const ingest_census *counted, double *row)
{
    row[0] = (double)counted->finite;
    row[1] = (double)counted->zeros;
    row[2] = counted->low;
    row[3] = counted->high;
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
            write_census(counted + band, row);
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

/* ---- archives ---- */

enum { MAX_BYTES = 64 << 20 };

/* How many names stand in members, each ended by a zero; 0 where there are none or too many for the compiled reader. */
static size_t count_members(const Py_buffer *members)
{
    const char *text = members->buf;
    size_t count = 0;
    for (Py_ssize_t at = 0; at < members->len; at++) {
        count += text[at] == 0;
    }
    return count > 0 && count <= NPZ_MAX_BANDS && text[members->len - 1] == 0 ? count : 0;
}

/* A Python function (packed, size) -> bytes, as npz_inflate; used without the GIL, which it takes while it runs. */
typedef struct {
    PyObject *function;
    Py_buffer content; /* what it returned last */
    int held;
    PyThreadState *thread;
} inflater;

static void let_go(inflater *inflate)
{
    if (inflate->held) {
        PyBuffer_Release(&inflate->content);
        inflate->held = 0;
    }
}

/* What the function cannot inflate is for the reader that says what is wrong; only Ctrl-C and the like stay set. */
static const unsigned char *call_inflater(void *context, const unsigned char *packed, size_t packed_size, size_t size)
{
    inflater *inflate = context;
    PyEval_RestoreThread(inflate->thread);
    let_go(inflate);
    /* The memory is only read. */
    PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)packed, (Py_ssize_t)packed_size, PyBUF_READ);
    PyObject *content = view == NULL ? NULL : PyObject_CallFunction(inflate->function, "On", view, (Py_ssize_t)size);
    inflate->held = content != NULL && PyObject_GetBuffer(content, &inflate->content, PyBUF_SIMPLE) == 0;
    const int whole = inflate->held && (size_t)inflate->content.len == size;
    Py_XDECREF(content);
    Py_XDECREF(view);
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
    inflate->thread = PyEval_SaveThread();
    return whole ? inflate->content.buf : NULL;
}

/* Pixels of an archive's planes as one bytearray; what they are like is in *plane. None where it is not of our kind. */
static PyObject *join_planes(const Py_buffer *archive, const Py_buffer *names, inflater *inflate, npz_plane *plane)
{
    npz_member members[NPZ_MAX_BANDS];
    PyObject *pixels = NULL;
    const size_t bands = count_members(names);
    int good = bands > 0 && npz_find_members(archive->buf, (size_t)archive->len, names->buf, bands, MAX_BYTES, members);
    for (size_t band = 0, plane_size = 0; band < bands && good; band++) {
        npz_plane next;
        inflate->thread = PyEval_SaveThread();
        good = npz_read_plane(archive->buf, members + band, call_inflater, inflate, &next);
        PyEval_RestoreThread(inflate->thread);
        ingest_dtype dtype;
        if (good && band == 0) {
            *plane = next;
            good = ingest_parse_dtype(plane->type, &dtype) == INGEST_OK;
            plane_size = good ? plane->height * plane->width * dtype.size : 0;
            pixels = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(bands * plane_size));
            if (pixels == NULL) {
                return NULL;
            }
        }
        good = good && next.height == plane->height && next.width == plane->width &&
               strcmp(next.type, plane->type) == 0;
        if (good) {
            memcpy(PyByteArray_AsString(pixels) + band * plane_size, next.pixels, plane_size);
        }
    }
    if (good) {
        return pixels;
    }
    Py_XDECREF(pixels);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(unpack_doc,
             "unpack(archive, names, inflate)\n--\n\n"
             "Pixels of the planes `names` (each ended by a zero) of an npz, checked: a bytearray, their number type,\n"
             "height and width. `inflate(packed, size)` returns the bytes of a deflated member. None where\n"
             "`gen5astro.io.npz`, which says what is wrong, has to look itself.");

static PyObject *core_unpack(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer archive, names;
    npz_plane plane;
    inflater inflate = {.held = 0};
    if (!PyArg_ParseTuple(arguments, "y*y*O:unpack", &archive, &names, &inflate.function)) {
        return NULL;
    }
    PyObject *answer = join_planes(&archive, &names, &inflate, &plane);
    let_go(&inflate);
    PyBuffer_Release(&archive);
    PyBuffer_Release(&names);
    if (answer == NULL || answer == Py_None) {
        return answer;
    }
    return Py_BuildValue("Nsnn", answer, plane.type, (Py_ssize_t)plane.height, (Py_ssize_t)plane.width);
}

/* What ingest_archives works on; the arrays are as long as there are archives. */
typedef struct {
    Py_buffer content, offsets, names, out, census, digest;
    inflater inflate;
    size_t count;
    size_t bands;
} column;

/* Whether the buffers fit each other; sets the exception where not. */
static int check_column(column *all)
{
    const Py_buffer *out = &all->out, *census = &all->census, *digest = &all->digest, *offsets = &all->offsets;
    all->bands = count_members(&all->names);
    if (out->ndim != 4 || !is_native(out->format, 'f') || (uintptr_t)out->buf % sizeof(float) != 0) {
        PyErr_SetString(PyExc_ValueError, "out must be native float32 (n, band, y, x)");
        return 0;
    }
    all->count = (size_t)out->shape[0];
    if (census->ndim != 3 || !is_native(census->format, 'd') || census->shape[0] != out->shape[0] ||
        census->shape[1] != out->shape[1] || census->shape[2] != 4 ||
        (uintptr_t)census->buf % sizeof(double) != 0) {
        PyErr_SetString(PyExc_ValueError, "census must be native float64 (n, band, 4)");
        return 0;
    }
    if (digest->itemsize != sizeof(uint64_t) || (size_t)digest->len != all->count * sizeof(uint64_t) ||
        offsets->itemsize != sizeof(int64_t) || (size_t)offsets->len != (all->count + 1) * sizeof(int64_t) ||
        (uintptr_t)digest->buf % sizeof(uint64_t) != 0 || (uintptr_t)offsets->buf % sizeof(int64_t) != 0) {
        PyErr_SetString(PyExc_ValueError, "digest must be uint64 (n,) and offsets int64 (n + 1,)");
        return 0;
    }
    const int64_t *at = offsets->buf;
    int rising = at[0] >= 0 && at[all->count] <= (int64_t)all->content.len;
    for (size_t row = 0; row < all->count; row++) {
        rising = rising && at[row] <= at[row + 1];
    }
    if (!rising) {
        PyErr_SetString(PyExc_ValueError, "offsets must rise, within content");
    }
    return rising;
}

static size_t ingest_column(column *all)
{
    const int64_t *offsets = all->offsets.buf;
    const size_t height = (size_t)all->out.shape[2], width = (size_t)all->out.shape[3];
    double *census = all->census.buf;
    size_t row = 0;
    if (all->bands != (size_t)all->out.shape[1]) {
        return 0;
    }
    for (; row < all->count; row++) {
        ingest_census counted[NPZ_MAX_BANDS];
        const unsigned char *archive = (const unsigned char *)all->content.buf + offsets[row];
        if (!npz_ingest(archive, (size_t)(offsets[row + 1] - offsets[row]), all->names.buf, all->bands, height, width,
                        MAX_BYTES, call_inflater, &all->inflate,
                        (float *)all->out.buf + row * all->bands * height * width, counted,
                        (uint64_t *)all->digest.buf + row)) {
            break;
        }
        for (size_t band = 0; band < all->bands; band++, census += 4) {
            write_census(counted + band, census);
        }
    }
    return row;
}

PyDoc_STRVAR(ingest_archives_doc,
             "ingest_archives(content, offsets, names, out, census, digest, inflate)\n--\n\n"
             "Ingest the archives that stand one after another in `content`, each up to the next of `offsets` (int64,\n"
             "(n + 1,)), into `out` (float32, (n, band, y, x)), `census` (float64, (n, band, 4)) and `digest` (uint64,\n"
             "(n,)), with `names` and `inflate` as for `unpack`. Return how many were done before one that is not of the\n"
             "usual kind.");

static PyObject *core_ingest_archives(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *objects[6], *answer = NULL;
    column all = {.count = 0};
    Py_buffer *buffers[6] = {&all.content, &all.offsets, &all.names, &all.out, &all.census, &all.digest};
    int held = 0;
    if (!PyArg_ParseTuple(arguments, "OOOOOOO:ingest_archives", objects, objects + 1, objects + 2, objects + 3,
                          objects + 4, objects + 5, &all.inflate.function)) {
        return NULL;
    }
    for (; held < 6; held++) {
        const int flags = held < 3 ? PyBUF_C_CONTIGUOUS : PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT;
        if (PyObject_GetBuffer(objects[held], buffers[held], flags) != 0) {
            goto release;
        }
    }
    if (check_column(&all)) {
        all.inflate.thread = PyEval_SaveThread();
        const size_t done = ingest_column(&all);
        PyEval_RestoreThread(all.inflate.thread);
        let_go(&all.inflate);
        answer = PyErr_Occurred() ? NULL : PyLong_FromSize_t(done);
    }
release:
    while (held > 0) {
        PyBuffer_Release(buffers[--held]);
    }
    return answer;
}

static PyMethodDef methods[] = {
    {"ingest", core_ingest, METH_VARARGS, ingest_doc},
    {"ingest_archives", core_ingest_archives, METH_VARARGS, ingest_archives_doc},
    {"unpack", core_unpack, METH_VARARGS, unpack_doc},
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
