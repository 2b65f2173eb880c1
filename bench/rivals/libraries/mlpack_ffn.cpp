// mlpack's feed-forward network: see mlpack_ffn.py. A row of the data is a column here; a layer's
// weights are column-major, (units, inputs), its biases after them. The loss is the sum of squares.
#include <mlpack/methods/ann/ffn.hpp>
#include <mlpack/methods/ann/layer/base_layer.hpp>
#include <mlpack/methods/ann/layer/linear.hpp>

#include "driver.h"

using Matrix = arma::Mat<REAL>;

struct Net {
    mlpack::FFN<mlpack::MeanSquaredErrorType<Matrix>, mlpack::GlorotInitialization, Matrix> net;
    Matrix gradient;
    size_t n_rows, batch_size;
    REAL rate;
};

// Its parameters, part by part, and the same of the problem, row-major, as Armadillo sees them.
template <typename Copy>
static void each_part(Net *own, const Problem *p, Copy copy)
{
    REAL *at = own->net.Parameters().memptr();
    const int sizes[] = {p->n_in, p->n_hidden, p->n_out};
    REAL *const w[] = {p->w1, p->w2}, *const b[] = {p->b1, p->b2};
    for (int i = 0; i < 2; i++) {
        const int n_in = sizes[i], n_out = sizes[i + 1];
        for (int k = 0; k < n_in; k++)
            for (int j = 0; j < n_out; j++) copy(at[k * n_out + j], w[i][k * n_out + j]);
        at += n_in * n_out;
        for (int j = 0; j < n_out; j++) copy(at[j], b[i][j]);
        at += n_out;
    }
}

void *make(const Problem *p)
{
    Net *own = new Net;
    own->net.template Add<mlpack::Linear<Matrix>>(p->n_hidden);
    if (p->is_tanh)
        own->net.template Add<mlpack::TanH<Matrix>>();
    else
        own->net.template Add<mlpack::ReLU<Matrix>>();
    own->net.template Add<mlpack::Linear<Matrix>>(p->n_out);
    own->net.Reset(p->n_in);
    own->net.ResetData(Matrix(p->X, p->n_in, p->n_rows), Matrix(p->y, p->n_out, p->n_rows));
    own->net.SetNetworkMode(true);
    own->gradient.set_size(own->net.Parameters().n_rows, 1);
    own->n_rows = p->n_rows;
    own->batch_size = p->batch_size;
    own->rate = p->rate / 2;
    each_part(own, p, [](REAL &its, REAL given) { its = given; });
    return own;
}

void epoch(void *net)
{
    Net *own = static_cast<Net *>(net);
    Matrix &parameters = own->net.Parameters();
    for (size_t begin = 0; begin < own->n_rows; begin += own->batch_size) {
        const size_t size = std::min(own->batch_size, own->n_rows - begin);
        own->net.EvaluateWithGradient(parameters, begin, own->gradient, size);
        parameters -= own->rate / size * own->gradient;
    }
}

void weights(void *net, const Problem *p)
{
    each_part(static_cast<Net *>(net), p, [](REAL its, REAL &wanted) { wanted = its; });
}
