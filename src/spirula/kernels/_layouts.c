/* The compiled twin of layouts.py: values to and from bytes, by a plan of small steps.
 *
 * A plan knows which attributes of which objects stand where, and is run in one call. Whatever is
 * not just as the plan says is given up without an error: the caller has a general way for that.
 * Built by setuptools for the stable ABI of Python 3.11; where that fails the twin serves.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { MAX_PARTS = 32, MAX_OPEN = 8, FEW = 1024, HEAD = 6 };

/* An attribute: how to get it of values of the class that it was got of last, if it is a slot of
 * that, and how to set it in those of the plan's class. */
typedef struct {
    PyObject *name, *descriptor, *seen, *seen_descriptor;
    descrgetfunc get;
    descrsetfunc set;
} Attribute;

typedef struct {
    int parent;
    PyObject *type;
    Attribute attribute;
} Part;

typedef struct {
    int kind, reg;
    long long number;
    PyObject *extra;
    Attribute attribute, second; /* `second`: ends of ranges */
} Step;

typedef struct {
    PyObject_HEAD
    PyObject *slot_type;
    Py_ssize_t parts_count, steps_count;
    Part *parts;
    Step *steps;
} Plan;

typedef struct {
    unsigned char *start;
    size_t size, room;
    unsigned char few[FEW];
} Output;

/* Bytes that a number takes by its letter as `struct` has them, 0 if it is none. */
static int
width_of(int code)
{
    switch (code) {
    case 'B':
    case 'b':
    case '?':
        return 1;
    case 'H':
    case 'h':
        return 2;
    case 'I':
    case 'i':
        return 4;
    case 'Q':
    case 'q':
        return 8;
    default:
        return 0;
    }
}

static uint64_t
get_le(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int k = bytes - 1; k >= 0; k--)
        value = value << 8 | at[k];
    return value;
}

static PyObject *
get(const Plan *plan, Attribute *attribute, PyObject *of)
{
    PyObject *type = (PyObject *)Py_TYPE(of);
    if (attribute->seen != type) {
        PyObject *descriptor = PyObject_GetAttr(type, attribute->name);
        if (!descriptor)
            PyErr_Clear(); /* what only values have */
        else if (Py_TYPE(descriptor) != (PyTypeObject *)plan->slot_type)
            Py_CLEAR(descriptor);
        if (!descriptor)
            return PyObject_GetAttr(of, attribute->name);
        Py_INCREF(type);
        PyObject *before = attribute->seen, *descriptor_before = attribute->seen_descriptor;
        attribute->seen = type;
        attribute->seen_descriptor = descriptor;
        attribute->get = (descrgetfunc)PyType_GetSlot(Py_TYPE(descriptor), Py_tp_descr_get);
        Py_XDECREF(before);
        Py_XDECREF(descriptor_before);
    }
    return attribute->get(attribute->seen_descriptor, of, type);
}

/* ---------------------------------------------------------------------------------------- packing */

static unsigned char *
room_for(Output *out, size_t size)
{
    if (size > out->room - out->size) {
        size_t room = 2 * out->room + size;
        unsigned char *grown;
        if (out->start == out->few) {
            grown = PyMem_Malloc(room);
            if (grown)
                memcpy(grown, out->few, out->size);
        }
        else
            grown = PyMem_Realloc(out->start, room);
        if (!grown)
            return NULL;
        out->start = grown;
        out->room = room;
    }
    unsigned char *at = out->start + out->size;
    out->size += size;
    return at;
}

static int
put_le(Output *out, uint64_t value, int bytes)
{
    unsigned char *at = room_for(out, (size_t)bytes);
    if (!at)
        return -1;
    for (int k = 0; k < bytes; k++, value >>= 8)
        at[k] = (unsigned char)value;
    return 0;
}

static int
put_bytes(Output *out, const void *from, size_t size)
{
    unsigned char *at = room_for(out, size);
    if (!at)
        return -1;
    memcpy(at, from, size);
    return 0;
}

/* As put_le, what is in bytes; with its length before it if `prefixed`. */
static int
put_object(Output *out, PyObject *value, int prefixed)
{
    char *bytes;
    Py_ssize_t size;
    if (!PyBytes_Check(value) || PyBytes_AsStringAndSize(value, &bytes, &size) < 0)
        return -1;
    if (prefixed && (size > UINT32_MAX || put_le(out, (uint64_t)size, 4) < 0))
        return -1;
    return put_bytes(out, bytes, (size_t)size);
}

static int
put_text(Output *out, PyObject *value)
{
    Py_ssize_t size;
    if (!PyUnicode_Check(value))
        return -1;
    const char *text = PyUnicode_AsUTF8AndSize(value, &size);
    if (text) {
        if (size > UINT32_MAX || put_le(out, (uint64_t)size, 4) < 0)
            return -1;
        return put_bytes(out, text, (size_t)size);
    }
    PyErr_Clear();
    PyObject *raw = PyUnicode_AsEncodedString(value, "utf-8", "surrogateescape");
    if (!raw)
        return -1;
    int done = put_object(out, raw, 1);
    Py_DECREF(raw);
    return done;
}

static int
put_number(Output *out, PyObject *value, int code, uint64_t allowed)
{
    int width = width_of(code);
    if (!width)
        return -1;
    if (code == '?') {
        if (value != Py_True && value != Py_False)
            return -1;
        return put_le(out, value == Py_True, 1);
    }
    if (!PyLong_Check(value))
        return -1;
    uint64_t number;
    if (code >= 'a') {
        long long given = PyLong_AsLongLong(value);
        if (given == -1 && PyErr_Occurred())
            return -1;
        if (width < 8) {
            long long bound = 1LL << (8 * width - 1);
            if (given < -bound || given >= bound)
                return -1;
        }
        number = (uint64_t)given;
    }
    else {
        number = PyLong_AsUnsignedLongLong(value);
        if (number == UINT64_MAX && PyErr_Occurred())
            return -1;
        if (width < 8 && number >> 8 * width)
            return -1;
    }
    if (allowed && (number > 63 || !(allowed >> number & 1)))
        return -1;
    return put_le(out, number, width);
}

/* Starts and ends as two lists: how many ranges, and start and length of each. */
static int
put_ranges(Output *out, PyObject *starts, PyObject *ends)
{
    if (!PyList_Check(starts) || !PyList_Check(ends))
        return -1;
    Py_ssize_t count = PyList_Size(starts);
    if (count != PyList_Size(ends) || count > UINT32_MAX || put_le(out, (uint64_t)count, 4) < 0)
        return -1;
    for (Py_ssize_t k = 0; k < count; k++) {
        PyObject *start = PyList_GetItem(starts, k), *end = PyList_GetItem(ends, k);
        if (!start || !end || !PyLong_CheckExact(start) || !PyLong_CheckExact(end))
            return -1;
        PyObject *length = PyNumber_Subtract(end, start);
        if (!length)
            return -1;
        int done = put_number(out, start, 'Q', 0) < 0 ? -1 : put_number(out, length, 'Q', 0);
        Py_DECREF(length);
        if (done < 0)
            return -1;
    }
    return 0;
}

static int pack_into(Plan *plan, PyObject *value, Output *out);

static int
put_each(Output *out, PyObject *values, Step *step)
{
    int code = (int)step->number;
    if (!PyList_Check(values))
        return -1;
    Py_ssize_t count = PyList_Size(values);
    int width = step->kind == 'V' ? 4 : width_of(code);
    if ((width && width < 8 && (uint64_t)count >> 8 * width) ||
        (width && put_le(out, (uint64_t)count, width) < 0))
        return -1;
    for (Py_ssize_t k = 0; k < count && k < PyList_Size(values); k++) {
        PyObject *each = PyList_GetItem(values, k);
        if (!each)
            return -1;
        Py_INCREF(each);
        int done = step->kind == 'V' ? put_number(out, each, code, 0)
                                     : pack_into((Plan *)step->extra, each, out);
        Py_DECREF(each);
        if (done < 0)
            return -1;
    }
    return count == PyList_Size(values) ? 0 : -1;
}

static int
pack_step(const Plan *plan, Step *step, PyObject *of, Output *out, size_t *opened, int *depth)
{
    PyObject *value, *other;
    int done = -1;
    switch (step->kind) {
    case 'L':
        return put_object(out, step->extra, 0);
    case 'O':
        if (*depth == MAX_OPEN || put_le(out, (uint64_t)step->number, 2) < 0)
            return -1;
        opened[(*depth)++] = out->size;
        return put_le(out, 0, 4);
    case 'C': {
        if (!*depth)
            return -1;
        size_t at = opened[--*depth], size = out->size - at - 4;
        if (size > UINT32_MAX)
            return -1;
        for (int k = 0; k < 4; k++)
            out->start[at + k] = (unsigned char)(size >> 8 * k);
        return 0;
    }
    default:
        break;
    }
    value = get(plan, &step->attribute, of);
    if (!value)
        return -1;
    switch (step->kind) {
    case 'R':
        if (PyBytes_Check(value) && PyBytes_Size(value) == step->number)
            done = put_object(out, value, 0);
        break;
    case 'D':
        done = put_object(out, value, 1);
        break;
    case 'A':
        done = put_object(out, value, 0);
        break;
    case 'T':
    case 't':
        done = put_text(out, value);
        break;
    case '=':
        done = PyObject_RichCompareBool(value, step->extra, Py_EQ) == 1 ? 0 : -1;
        break;
    case '0':
        done = PyObject_IsTrue(value) == 0 ? 0 : -1;
        break;
    case 'N': {
        Py_ssize_t size = PyObject_Size(value);
        if (size >= 0 && size <= UINT32_MAX)
            done = put_le(out, (uint64_t)size, 4);
        break;
    }
    case 'S':
        other = get(plan, &step->second, of);
        if (other) {
            done = put_ranges(out, value, other);
            Py_DECREF(other);
        }
        break;
    case 'V':
    case 'E':
        done = put_each(out, value, step);
        break;
    default:
        done = put_number(out, value, step->kind, (uint64_t)step->number);
    }
    Py_DECREF(value);
    return done;
}

/* 0, or -1 when given up, perhaps with an error. */
static int
pack_into(Plan *plan, PyObject *value, Output *out)
{
    PyObject *regs[MAX_PARTS];
    size_t opened[MAX_OPEN];
    int depth = 0, done = 0;
    Py_ssize_t made = 1;
    regs[0] = value;
    for (; made < plan->parts_count; made++) {
        Part *part = plan->parts + made;
        regs[made] = get(plan, &part->attribute, regs[part->parent]);
        if (!regs[made]) {
            done = -1;
            break;
        }
    }
    for (Py_ssize_t k = 0; !done && k < plan->steps_count; k++) {
        Step *step = plan->steps + k;
        done = pack_step(plan, step, regs[step->reg], out, opened, &depth);
    }
    while (made > 1)
        Py_DECREF(regs[--made]);
    return done || depth ? -1 : 0;
}

static PyObject *
given_up(void)
{
    if (PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError) || !PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
        PyErr_Clear();
    }
    Py_RETURN_NONE;
}

static PyObject *
plan_pack(PyObject *self, PyObject *value)
{
    Output out;
    out.start = out.few;
    out.size = 0;
    out.room = FEW;
    PyObject *result;
    if (pack_into((Plan *)self, value, &out) < 0)
        result = given_up();
    else
        result = PyBytes_FromStringAndSize((char *)out.start, (Py_ssize_t)out.size);
    if (out.start != out.few)
        PyMem_Free(out.start);
    return result;
}

/* -------------------------------------------------------------------------------------- unpacking */

typedef struct {
    PyObject *owner;
    const unsigned char *bytes;
    size_t pos, end;
} Input;

static int
has(const Input *in, size_t size)
{
    return in->end - in->pos >= size;
}

static PyObject *
slice(const Input *in, size_t from, size_t size)
{
    return PyBytes_FromStringAndSize((const char *)in->bytes + from, (Py_ssize_t)size);
}

static PyObject *
take_number(Input *in, int code, uint64_t allowed)
{
    int width = width_of(code);
    if (!width || !has(in, (size_t)width))
        return NULL;
    uint64_t number = get_le(in->bytes + in->pos, width);
    in->pos += (size_t)width;
    if (allowed && (number > 63 || !(allowed >> number & 1)))
        return NULL;
    if (code == '?')
        return number > 1 ? NULL : PyBool_FromLong((long)number);
    if (code < 'a')
        return PyLong_FromUnsignedLongLong(number);
    if (width < 8 && number >> (8 * width - 1))
        number |= UINT64_MAX << 8 * width;
    int64_t given;
    memcpy(&given, &number, sizeof given);
    return PyLong_FromLongLong(given);
}

/* The length that stands next, if as many bytes follow. */
static int
take_length(Input *in, size_t *size)
{
    if (!has(in, 4))
        return -1;
    *size = get_le(in->bytes + in->pos, 4);
    in->pos += 4;
    return has(in, *size) ? 0 : -1;
}

/* A value in an envelope, as it is encoded. */
static PyObject *
take_enveloped(Input *in)
{
    if (!has(in, HEAD))
        return NULL;
    size_t size = HEAD + get_le(in->bytes + in->pos + 2, 4);
    if (!has(in, size))
        return NULL;
    in->pos += size;
    return slice(in, in->pos - size, size);
}

/* Passes ranges that ascend, none of them empty or beyond 64 bits. */
static int
pass_ranges(Input *in)
{
    if (!has(in, 4))
        return -1;
    uint64_t count = get_le(in->bytes + in->pos, 4), last = 0;
    in->pos += 4;
    if (count > (in->end - in->pos) / 16)
        return -1;
    for (; count; count--, in->pos += 16) {
        uint64_t start = get_le(in->bytes + in->pos, 8);
        uint64_t length = get_le(in->bytes + in->pos + 8, 8);
        if (start < last || !length || length > UINT64_MAX - start)
            return -1;
        last = start + length;
    }
    return 0;
}

static PyObject *unpack_from(Plan *plan, Input *in);

static PyObject *
take_each(Input *in, const Step *step)
{
    int code = (int)step->number, width = step->kind == 'V' ? 4 : width_of(code);
    if (!width || !has(in, (size_t)width))
        return NULL;
    uint64_t count = get_le(in->bytes + in->pos, width);
    in->pos += (size_t)width;
    if (count > in->end - in->pos) /* each takes a byte at least */
        return NULL;
    PyObject *values = PyList_New(0);
    for (; values && count; count--) {
        size_t before = in->pos;
        PyObject *each =
            step->kind == 'V' ? take_number(in, code, 0) : unpack_from((Plan *)step->extra, in);
        if (!each || in->pos == before || PyList_Append(values, each) < 0)
            Py_CLEAR(values);
        Py_XDECREF(each);
    }
    return values;
}

/* What the decoder of a class makes of what stands next; it finds what it made lately again. */
static PyObject *
take_decoded(Input *in, PyObject *type, PyObject *buffer)
{
    PyObject *made = PyObject_CallMethod(type, "_dec", "Onni", buffer, (Py_ssize_t)in->pos,
                                         (Py_ssize_t)in->end, 0);
    PyObject *value = NULL;
    if (made && PyTuple_Check(made) && PyTuple_Size(made) == 2) {
        Py_ssize_t after = PyLong_AsSsize_t(PyTuple_GetItem(made, 1));
        if (after > 0 && (size_t)after > in->pos && (size_t)after <= in->end) {
            in->pos = (size_t)after;
            value = PyTuple_GetItem(made, 0);
            Py_INCREF(value);
        }
    }
    Py_XDECREF(made);
    return value;
}

/* What a step takes or gives, NULL when given up; None for steps that have no target. */
static PyObject *
take(const Step *step, Input *in, size_t *mark, PyObject *last)
{
    size_t size;
    PyObject *raw, *found;
    switch (step->kind) {
    case '=':
        Py_INCREF(step->extra);
        return step->extra;
    case '+':
        Py_XINCREF(last);
        return last;
    case 'R':
        size = (size_t)step->number;
        if (!has(in, size))
            return NULL;
        in->pos += size;
        return slice(in, in->pos - size, size);
    case 'D':
    case 'T':
    case 't':
        if (take_length(in, &size) < 0 || (step->kind == 't' && !size))
            return NULL;
        in->pos += size;
        if (step->kind == 'D')
            return slice(in, in->pos - size, size);
        return PyUnicode_DecodeUTF8((const char *)in->bytes + in->pos - size, (Py_ssize_t)size,
                                    "surrogateescape");
    case 'A':
        return take_enveloped(in);
    case 'P':
        return slice(in, *mark, in->pos - *mark);
    case 'K':
        size = (size_t)step->number;
        if (!size)
            raw = take_enveloped(in);
        else if (has(in, size)) {
            in->pos += size;
            raw = slice(in, in->pos - size, size);
        }
        else
            raw = NULL;
        if (!raw)
            return NULL;
        found = PyObject_GetItem(step->extra, raw);
        Py_DECREF(raw);
        if (found == Py_None)
            Py_CLEAR(found);
        return found;
    case 'Y':
        return take_decoded(in, step->extra, in->owner);
    case 'V':
    case 'E':
        return take_each(in, step);
    default:
        return take_number(in, step->kind, (uint64_t)step->number);
    }
}

/* Steps that check and move only; 1 when `step` is another one, -1 when given up. */
static int
pass(const Step *step, Input *in, size_t *mark, size_t *ends, int *depth)
{
    char *literal;
    Py_ssize_t size;
    switch (step->kind) {
    case 'L':
        if (PyBytes_AsStringAndSize(step->extra, &literal, &size) < 0 || !has(in, (size_t)size) ||
            memcmp(in->bytes + in->pos, literal, (size_t)size))
            return -1;
        in->pos += (size_t)size;
        return 0;
    case 'O': {
        if (*depth == MAX_OPEN || !has(in, HEAD) ||
            get_le(in->bytes + in->pos, 2) != (uint64_t)step->number)
            return -1;
        in->pos += 2;
        size_t length;
        if (take_length(in, &length) < 0)
            return -1;
        ends[(*depth)++] = in->end;
        in->end = in->pos + length;
        return 0;
    }
    case 'C':
        if (!*depth || in->pos != in->end)
            return -1;
        in->end = ends[--*depth];
        return 0;
    case 'M':
        *mark = in->pos;
        return 0;
    case '~':
        if (!has(in, (size_t)step->number) || *mark + (size_t)step->number > in->pos ||
            memcmp(in->bytes + in->pos, in->bytes + *mark, (size_t)step->number))
            return -1;
        in->pos += (size_t)step->number;
        return 0;
    case 'G':
        return pass_ranges(in);
    case '.':
        return in->pos == in->end ? 0 : -1;
    default:
        return 1;
    }
}

static int
give(PyObject *to, const Attribute *as, PyObject *value)
{
    return as->set ? as->set(as->descriptor, to, value) : PyObject_SetAttr(to, as->name, value);
}

static PyObject *
unpack_from(Plan *plan, Input *in)
{
    PyObject *regs[MAX_PARTS], *last = NULL;
    size_t ends[MAX_OPEN], mark = in->pos;
    int depth = 0, failed = 0;
    Py_ssize_t made = 0;
    for (; made < plan->parts_count; made++) {
        const Part *part = plan->parts + made;
        if (!part->type || !(regs[made] = PyType_GenericAlloc((PyTypeObject *)part->type, 0))) {
            failed = 1;
            break;
        }
        if (made && give(regs[part->parent], &part->attribute, regs[made])) {
            made++;
            failed = 1;
            break;
        }
    }
    for (Py_ssize_t k = 0; !failed && k < plan->steps_count; k++) {
        const Step *step = plan->steps + k;
        int passed = pass(step, in, &mark, ends, &depth);
        if (passed <= 0) {
            failed = passed < 0;
            continue;
        }
        PyObject *value = take(step, in, &mark, last);
        if (!value || give(regs[step->reg], &step->attribute, value))
            failed = 1;
        Py_XDECREF(last);
        last = value;
    }
    Py_XDECREF(last);
    failed |= depth;
    while (made > 1)
        Py_DECREF(regs[--made]);
    if (failed && made) {
        Py_DECREF(regs[0]);
        return NULL;
    }
    return made ? regs[0] : NULL;
}

static PyObject *
plan_unpack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "unpack takes 3 arguments");
        return NULL;
    }
    if (!PyBytes_Check(args[0]))
        Py_RETURN_NONE;
    char *bytes;
    Py_ssize_t size, pos = PyLong_AsSsize_t(args[1]), end = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred() || PyBytes_AsStringAndSize(args[0], &bytes, &size) < 0)
        return given_up();
    if (pos < 0 || end < pos || end > size)
        Py_RETURN_NONE;
    Input in = {args[0], (const unsigned char *)bytes, (size_t)pos, (size_t)end};
    PyObject *made = unpack_from((Plan *)self, &in);
    if (!made)
        return given_up();
    PyObject *result = PyTuple_New(2), *after = PyLong_FromSize_t(in.pos);
    if (!result || !after) {
        Py_XDECREF(result);
        Py_XDECREF(after);
        Py_DECREF(made);
        return NULL;
    }
    PyTuple_SetItem(result, 0, made);
    PyTuple_SetItem(result, 1, after);
    return result;
}

/* ------------------------------------------------------------------------------------------ plans */

static PyObject *
kept(PyObject *value)
{
    if (value == Py_None)
        return NULL;
    Py_INCREF(value);
    return value;
}

static void
fill_attribute(const Plan *plan, Attribute *attribute, PyObject *name, PyObject *descriptor)
{
    attribute->name = kept(name);
    PyUnicode_InternInPlace(&attribute->name);
    if (Py_TYPE(descriptor) == (PyTypeObject *)plan->slot_type) {
        attribute->descriptor = kept(descriptor);
        attribute->set = (descrsetfunc)PyType_GetSlot(Py_TYPE(descriptor), Py_tp_descr_set);
    }
}

static void
empty_attribute(const Attribute *attribute)
{
    Py_XDECREF(attribute->name);
    Py_XDECREF(attribute->descriptor);
    Py_XDECREF(attribute->seen);
    Py_XDECREF(attribute->seen_descriptor);
}

static void
plan_dealloc(PyObject *self)
{
    Plan *plan = (Plan *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (Py_ssize_t k = 0; k < plan->parts_count; k++) {
        empty_attribute(&plan->parts[k].attribute);
        Py_XDECREF(plan->parts[k].type);
    }
    for (Py_ssize_t k = 0; k < plan->steps_count; k++) {
        empty_attribute(&plan->steps[k].attribute);
        empty_attribute(&plan->steps[k].second);
        Py_XDECREF(plan->steps[k].extra);
    }
    Py_XDECREF(plan->slot_type);
    PyMem_Free(plan->parts);
    PyMem_Free(plan->steps);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Fills a plan in; what is in it already is let go of by plan_dealloc. */
static int
fill(PyTypeObject *type, Plan *plan, PyObject *parts, PyObject *steps)
{
    Py_ssize_t parts_count = PyList_Size(parts), steps_count = PyList_Size(steps);
    if (parts_count < 1 || parts_count > MAX_PARTS) {
        PyErr_SetString(PyExc_ValueError, "a plan has 1 to 32 parts");
        return -1;
    }
    plan->parts = PyMem_Calloc((size_t)parts_count + 1, sizeof(Part));
    plan->steps = PyMem_Calloc((size_t)steps_count + 1, sizeof(Step));
    if (!plan->parts || !plan->steps) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *name, *extra, *descriptor;
    for (Py_ssize_t k = 0; k < parts_count; k++) {
        Part *part = plan->parts + k;
        PyObject *each = PyList_GetItem(parts, k);
        if (!PyTuple_Check(each) ||
            !PyArg_ParseTuple(each, "iUOO", &part->parent, &name, &extra, &descriptor))
            return -1;
        if (part->parent < 0 || part->parent >= k + !k || (extra != Py_None && !PyType_Check(extra))) {
            PyErr_SetString(PyExc_ValueError, "a part is of one before it, and of a class");
            return -1;
        }
        part->type = kept(extra);
        fill_attribute(plan, &part->attribute, name, descriptor);
        plan->parts_count = k + 1;
    }
    for (Py_ssize_t k = 0; k < steps_count; k++) {
        Step *step = plan->steps + k;
        PyObject *each = PyList_GetItem(steps, k);
        if (!PyTuple_Check(each) ||
            !PyArg_ParseTuple(each, "CiULOO", &step->kind, &step->reg, &name, &step->number, &extra,
                              &descriptor))
            return -1;
        int number = width_of(step->kind), needs_extra = strchr("L=SEKY", step->kind) != NULL;
        if (step->reg < 0 || step->reg >= parts_count || (!number && step->number < 0) ||
            (!number && !strchr("LOCRDATt=0NSVEKYMPG+~.", step->kind)) ||
            (step->kind == 'L' && !PyBytes_Check(extra)) ||
            (step->kind == 'S' && !PyUnicode_Check(extra)) ||
            (step->kind == 'V' && (step->number == '?' || !width_of((int)step->number))) ||
            (step->kind == 'E' && Py_TYPE(extra) != type) || (!needs_extra && extra != Py_None)) {
            PyErr_Format(PyExc_ValueError, "step %zd of a plan is none", k);
            return -1;
        }
        Py_INCREF(extra); /* may be None: what an attribute is */
        step->extra = extra;
        fill_attribute(plan, &step->attribute, name, descriptor);
        if (step->kind == 'S')
            fill_attribute(plan, &step->second, extra, Py_None);
        plan->steps_count = k + 1;
    }
    return 0;
}

static PyObject *
plan_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    PyObject *parts, *steps, *slot_type;
    if (named && PyDict_Size(named)) {
        PyErr_SetString(PyExc_TypeError, "Plan takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyList_Type, &parts, &PyList_Type, &steps,
                          &PyType_Type, &slot_type))
        return NULL;
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    Py_INCREF(slot_type);
    ((Plan *)self)->slot_type = slot_type;
    if (fill(type, (Plan *)self, parts, steps) < 0)
        Py_CLEAR(self);
    return self;
}

static PyMethodDef plan_methods[] = {
    {"pack", plan_pack, METH_O, "See spirula.kernels.layouts."},
    {"unpack", (PyCFunction)(void (*)(void))plan_unpack, METH_FASTCALL,
     "See spirula.kernels.layouts."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_new, plan_new},
    {Py_tp_dealloc, plan_dealloc},
    {Py_tp_methods, plan_methods},
    {0, NULL},
};

static PyType_Spec plan_spec = {
    .name = "spirula.kernels._layouts.Plan",
    .basicsize = sizeof(Plan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = plan_slots,
};

static int
fill_module(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&plan_spec);
    int done = type ? PyModule_AddObjectRef(module, "Plan", type) : -1;
    Py_XDECREF(type);
    return done;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_layouts",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__layouts(void)
{
    return PyModuleDef_Init(&definition);
}
