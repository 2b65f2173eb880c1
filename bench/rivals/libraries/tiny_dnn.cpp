// tiny-dnn: see tiny_dnn.py. A layer's weights are row-major, an input a row. The loss is the squared
// error, not half of it, so the rate is halved; a batch's gradient is a mean over the rows.
#define CNN_USE_AVX
#define CNN_SINGLE_THREAD
#include <tiny_dnn/tiny_dnn.h>

#include "driver.h"

using namespace tiny_dnn;

template <typename Activation>
using Layer = fully_connected_layer<Activation>;

struct Net {
    network<sequential> net;
    gradient_descent rule;
    std::vector<vec_t> X, y;
    int batch_size;

    vec_t &values(int i) { return *net[i / 2]->weights()[i % 2]; }
};

void *make(const Problem *p)
{
    Net *own = new Net;
    if (p->is_tanh)
        own->net << Layer<activation::tan_h>(p->n_in, p->n_hidden);
    else
        own->net << Layer<activation::relu>(p->n_in, p->n_hidden);
    own->net << Layer<activation::identity>(p->n_hidden, p->n_out);
    own->net.init_weight();
    const REAL *given[] = {p->w1, p->b1, p->w2, p->b2};
    for (int i = 0; i < 4; i++) {
        vec_t &values = own->values(i);
        std::copy(given[i], given[i] + values.size(), values.begin());
    }
    for (int i = 0; i < p->n_rows; i++) {
        own->X.emplace_back(p->X + i * p->n_in, p->X + (i + 1) * p->n_in);
        own->y.emplace_back(p->y + i * p->n_out, p->y + (i + 1) * p->n_out);
    }
    own->rule.alpha = p->rate / 2 * p->n_out;
    own->batch_size = p->batch_size;
    return own;
}

void epoch(void *net)
{
    Net *own = static_cast<Net *>(net);
    own->net.fit<mse>(own->rule, own->X, own->y, own->batch_size, 1, [] {}, [] {}, false, 1);
}

void weights(void *net, const Problem *p)
{
    Net *own = static_cast<Net *>(net);
    REAL *wanted[] = {p->w1, p->b1, p->w2, p->b2};
    for (int i = 0; i < 4; i++) {
        const vec_t &values = own->values(i);
        std::copy(values.begin(), values.end(), wanted[i]);
    }
}
