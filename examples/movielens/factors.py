"""Matrix factorisation that learns one rating at a time, with numpy, and its ONNX form."""

import numpy as np

DIM = 16
WIDTH = DIM + 2  # a user is [p, bias, 1], a film [q, 1, bias]: their dot is p.q and both biases
RATE, DECAY = 0.06, 0.03
SHIFT_RATE = 0.001


class Factors:
    def __init__(self, users, items, seed):
        rng = np.random.default_rng(seed)
        self.user, self.item = (rng.normal(0, 0.1, (count, WIDTH)).astype(np.float32)
                                for count in (users, items))
        self.user[:, DIM:] = 0, 1
        self.item[:, DIM:] = 1, 0
        self.shift = np.zeros(1, np.float32)

    def copy(self):
        other = object.__new__(Factors)
        other.user, other.item, other.shift = self.user.copy(), self.item.copy(), self.shift.copy()
        return other

    def score(self, user, item):
        logit = (self.user[user] * self.item[item]).sum(1, dtype=np.float32) + self.shift
        return 1 / (1 + np.exp(-logit))

    def learn(self, user, item, label):
        """A step of logistic loss for each event, in order."""
        for u, i, liked in zip(user.tolist(), item.tolist(), label.tolist()):
            p, q = self.user[u], self.item[i]
            error = liked - 1 / (1 + np.exp(-(float(p @ q) + float(self.shift[0]))))
            change = RATE * (error * q - DECAY * p)
            q += RATE * (error * p - DECAY * q)
            p += change
            p[DIM + 1] = q[DIM] = 1
            self.shift += SHIFT_RATE * error


def write_model(folder):
    """model.onnx: sigmoid(sum(user row * film row) + shift), over two tables."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def lookup(table):
        return helper.make_node("Embedding", [f"{table}_id"], [f"{table}_row"], domain="ai.norn",
                                name=table, table=table, dim=WIDTH)
    nodes = [lookup("user"), lookup("item"),
             helper.make_node("Mul", ["user_row", "item_row"], ["product"]),
             helper.make_node("ReduceSum", ["product", "axes"], ["dot"], keepdims=0),
             helper.make_node("Add", ["dot", "shift"], ["logit"]),
             helper.make_node("Sigmoid", ["logit"], ["score"])]
    graph = helper.make_graph(
        nodes, "factors",
        [helper.make_tensor_value_info(f"{table}_id", TensorProto.INT64, ["batch"])
         for table in ("user", "item")],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])],
        [numpy_helper.from_array(np.int64([1]), "axes"),
         numpy_helper.from_array(np.zeros(1, np.float32), "shift")])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid("ai.norn", 1)]), folder / "model.onnx")
