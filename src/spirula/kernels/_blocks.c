/* The compiled twin of blocks.py: what the store on disk does for each block of 4 KiB.
 *
 * Everything comes in as buffers that are held and checked once; writing and summing go on without
 * the interpreter's lock. Built by setuptools for the stable ABI of Python 3.11; where that fails
 * the twin serves.
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "_crc32c.h"

/* ------------------------------------------------------------------------------------- checksums */

static void
sum_all(const unsigned char *at, size_t block, size_t count, uint32_t *sums)
{
    for (size_t k = 0; k < count; k++)
        sums[k] = crc(~0u, at + k * block, block);
}

static PyObject *
sum_blocks(PyObject *module, PyObject *args)
{
    PyObject *from, *into;
    Py_ssize_t block;
    Py_buffer data, sums;
    if (!PyArg_ParseTuple(args, "OnO", &from, &block, &into))
        return NULL;
    if (PyObject_GetBuffer(from, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    if (PyObject_GetBuffer(into, &sums, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0) {
        PyBuffer_Release(&data);
        return NULL;
    }
    PyObject *result = NULL;
    if (block <= 0 || data.len % block || sums.itemsize != 4 ||
        sums.len != data.len / block * 4) {
        PyErr_SetString(PyExc_ValueError, "not whole blocks with a place of 4 bytes for each sum");
    }
    else {
        Py_BEGIN_ALLOW_THREADS
        sum_all(data.buf, (size_t)block, (size_t)(data.len / block), sums.buf);
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&data);
    return result;
}

/* ---------------------------------------------------------------------------------------- writing */

enum { AT_ONCE = 64 << 10, PARTS = 64, BEGIN_AT = 1 << 20 };

/* Write one piece after the other, in one call what is one behind the other; 0, or the errno. */
static int
write_all(int fd, const uint64_t *offsets, const Py_buffer *pieces, Py_ssize_t count)
{
    struct iovec parts[PARTS];
    for (Py_ssize_t k = 0; k < count;) {
        uint64_t start = offsets[k];
        size_t size = 0;
        int number = 0;
        do {
            parts[number].iov_base = pieces[k].buf;
            parts[number].iov_len = (size_t)pieces[k].len;
            size += (size_t)pieces[k].len;
            number++;
            k++;
        } while (k < count && number < PARTS && size < AT_ONCE && offsets[k] == start + size);
        struct iovec *rest = parts;
        while (size) {
            ssize_t done = pwritev(fd, rest, number, (off_t)start);
            if (done < 0) {
                if (errno == EINTR)
                    continue;
                return errno;
            }
            if (!done)
                return EIO;
            start += (uint64_t)done;
            size -= (size_t)done;
            while (number && (size_t)done >= rest->iov_len) {
                done -= (ssize_t)rest->iov_len;
                rest++;
                number--;
            }
            if (number) {
                rest->iov_base = (char *)rest->iov_base + done;
                rest->iov_len -= (size_t)done;
            }
        }
    }
    return 0;
}

/* What a list of pieces and their offsets are while they are written. */
typedef struct {
    Py_buffer offsets;
    Py_buffer *pieces;
    Py_ssize_t count, got;
} Held;

static void
release(Held *held)
{
    while (held->got-- > 0)
        PyBuffer_Release(&held->pieces[held->got]);
    PyMem_Free(held->pieces);
    PyBuffer_Release(&held->offsets);
}

/* 0, or -1 with an error set and nothing held. */
static int
hold(Held *held, PyObject *places, PyObject *list)
{
    if (PyObject_GetBuffer(places, &held->offsets, PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    held->count = PyList_Size(list);
    held->got = 0;
    held->pieces = PyMem_Malloc(sizeof *held->pieces * (size_t)(held->count ? held->count : 1));
    if (!held->pieces) {
        PyErr_NoMemory();
        goto failed;
    }
    if (held->offsets.itemsize != 8 || held->offsets.len != held->count * 8) {
        PyErr_SetString(PyExc_ValueError, "not an offset of 8 bytes for each piece");
        goto failed;
    }
    for (; held->got < held->count; held->got++)
        if (PyObject_GetBuffer(PyList_GetItem(list, held->got), &held->pieces[held->got],
                               PyBUF_SIMPLE) < 0)
            goto failed;
    return 0;
failed:
    release(held);
    return -1;
}

static PyObject *
none_or(int error)
{
    if (!error)
        return Py_NewRef(Py_None);
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *
write_pieces(PyObject *module, PyObject *args)
{
    int fd, error;
    PyObject *places, *list;
    Held held;
    if (!PyArg_ParseTuple(args, "iOO!", &fd, &places, &PyList_Type, &list) ||
        hold(&held, places, list) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    error = write_all(fd, held.offsets.buf, held.pieces, held.count);
    Py_END_ALLOW_THREADS
    release(&held);
    return none_or(error);
}

/* Write pieces, and let the disk begin with each run of them; 0, or the errno. */
static int
write_and_begin(int fd, const Held *held)
{
    const uint64_t *offsets = held->offsets.buf;
    for (Py_ssize_t k = 0; k < held->count;) {
        Py_ssize_t first = k;
        uint64_t end = offsets[k];
        do
            end += (uint64_t)held->pieces[k++].len;
        while (k < held->count && offsets[k] == end && end - offsets[first] < BEGIN_AT);
        int error = write_all(fd, offsets + first, held->pieces + first, k - first);
        if (error)
            return error;
        /* What comes of it is for the sync to say. */
        sync_file_range(fd, (off_t)offsets[first], (off_t)(end - offsets[first]),
                        SYNC_FILE_RANGE_WRITE);
    }
    return 0;
}

static PyObject *
write_with_record(PyObject *module, PyObject *args)
{
    int fd, other, error;
    PyObject *places, *list, *given;
    unsigned long long offset;
    Held held;
    Py_buffer record;
    if (!PyArg_ParseTuple(args, "iOO!iKO", &fd, &places, &PyList_Type, &list, &other, &offset,
                          &given))
        return NULL;
    if (PyObject_GetBuffer(given, &record, PyBUF_SIMPLE) < 0)
        return NULL;
    if (hold(&held, places, list) < 0) {
        PyBuffer_Release(&record);
        return NULL;
    }
    uint64_t place = offset;
    Py_BEGIN_ALLOW_THREADS
    error = write_and_begin(fd, &held);
    if (!error)
        error = write_all(other, &place, &record, 1);
    if (!error && fdatasync(fd) < 0)
        error = errno;
    Py_END_ALLOW_THREADS
    release(&held);
    PyBuffer_Release(&record);
    return none_or(error);
}

static PyMethodDef methods[] = {
    {"sum_blocks", sum_blocks, METH_VARARGS, "See spirula.kernels.blocks."},
    {"write_pieces", write_pieces, METH_VARARGS, "See spirula.kernels.blocks."},
    {"write_with_record", write_with_record, METH_VARARGS, "See spirula.kernels.blocks."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_blocks",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__blocks(void)
{
    make_crc();
    return PyModuleDef_Init(&definition);
}
