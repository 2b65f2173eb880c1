// dlib's multilayer perceptron: see dlib_mlp.py. Its biases are weights of an input of -1, the last
// of each unit. Its weights are private, but for what it serialises.
#include <dlib/mlp.h>

#include <sstream>
#include <vector>

#include "driver.h"

using Matrix = dlib::matrix<double>;
using Vector = dlib::matrix<double, 0, 1>;

struct Net {
    dlib::mlp_kernel_1 mlp;
    std::vector<Vector> X, y;
};

// The weights as they stand in its serialised form, between the sizes and the momenta.
struct Serialised {
    long n_in, n_first, n_second, n_out;
    double alpha, momentum;
    Matrix w1, w2, w3, rest[3];

    void read(const dlib::mlp_kernel_1 &mlp)
    {
        std::stringstream stream;
        serialize(mlp, stream);
        for (long *n : {&n_in, &n_first, &n_second, &n_out}) dlib::deserialize(*n, stream);
        for (double *x : {&alpha, &momentum}) dlib::deserialize(*x, stream);
        for (Matrix *w : {&w1, &w2, &w3, rest, rest + 1, rest + 2}) dlib::deserialize(*w, stream);
    }

    void write(dlib::mlp_kernel_1 &mlp) const
    {
        std::stringstream stream;
        for (long n : {n_in, n_first, n_second, n_out}) dlib::serialize(n, stream);
        for (double x : {alpha, momentum}) dlib::serialize(x, stream);
        for (const Matrix *w : {&w1, &w2, &w3, rest, rest + 1, rest + 2})
            dlib::serialize(*w, stream);
        deserialize(mlp, stream);
    }
};

void *make(const Problem *p)
{
    Net *net = new Net{{p->n_in, p->n_hidden, 0, p->n_out, p->rate, 0.0}, {}, {}};
    Serialised state;
    state.read(net->mlp);
    for (int j = 0; j < p->n_hidden; j++) {
        for (int k = 0; k < p->n_in; k++) state.w1(j, k) = p->w1[k * p->n_hidden + j];
        state.w1(j, p->n_in) = -p->b1[j];
    }
    for (int o = 0; o < p->n_out; o++) {
        for (int j = 0; j < p->n_hidden; j++) state.w3(o, j) = p->w2[j * p->n_out + o];
        state.w3(o, p->n_hidden) = -p->b2[o];
    }
    state.write(net->mlp);
    for (int i = 0; i < p->n_rows; i++) {
        net->X.push_back(dlib::mat(p->X + i * p->n_in, p->n_in));
        net->y.push_back(dlib::mat(p->y + i * p->n_out, p->n_out));
    }
    return net;
}

void epoch(void *given)
{
    Net *net = static_cast<Net *>(given);
    for (size_t i = 0; i < net->X.size(); i++) net->mlp.train(net->X[i], net->y[i]);
}

void weights(void *given, const Problem *p)
{
    Serialised state;
    state.read(static_cast<Net *>(given)->mlp);
    for (int j = 0; j < p->n_hidden; j++) {
        for (int k = 0; k < p->n_in; k++) p->w1[k * p->n_hidden + j] = state.w1(j, k);
        p->b1[j] = -state.w1(j, p->n_in);
    }
    for (int o = 0; o < p->n_out; o++) {
        for (int j = 0; j < p->n_hidden; j++) p->w2[j * p->n_out + o] = state.w3(o, j);
        p->b2[o] = -state.w3(o, p->n_hidden);
    }
}
