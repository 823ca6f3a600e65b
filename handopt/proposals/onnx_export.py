"""A model as an ONNX graph, which ONNX Runtime and others run: made of the NumPy weights, without PyTorch."""

from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.errors import import_extra
from handopt.proposals.features import SIZE
from handopt.proposals.network import STEM
from handopt.proposals.votes import HIGHEST_LOG_MM, LOWEST_LOG_MM, MAPS, VOTE_MM, VOTE_NUMBERS, VOTES, cell_places, edge

if TYPE_CHECKING:
    from handopt.proposals.model_file import PoseModel
    from handopt.typing import FloatImage

OPSET = 17
IR_VERSION = 8
"""Of ONNX 1.12 of 2022: what most runtimes read."""


def onnx_bytes(model: "PoseModel") -> bytes:
    """The network of a model as an ONNX file.

    Input "view": (B, 64, 64, channels) float32, see handopt.proposals.features. Outputs: "hypotheses" (B, heads,
    numbers), as Network.hypotheses; "uncertainty_mm" (of the likeliest) and "visible", both (B, 21), as Network.joints;
    and "keypoints_mm" (B, 21, 3) with their own "radius_mm" (B, 21), as Network.votes.
    Raises OutputError where the package onnx is missing.
    """
    onnx = import_extra("onnx", "an ONNX file", "onnx")
    graph = _Graph(onnx, model)
    features = graph.features()
    outputs = graph.hypotheses(features) + graph.joints(features) + graph.votes(features)
    view = onnx.helper.make_tensor_value_info(
        "view", onnx.TensorProto.FLOAT, ["batch", SIZE, SIZE, model.network.channels]
    )
    made = onnx.helper.make_graph(graph.nodes, "handopt", [view], outputs, graph.constants)
    opset = onnx.helper.make_opsetid("", OPSET)
    file = onnx.helper.make_model(made, opset_imports=[opset], producer_name="handopt", ir_version=IR_VERSION)
    onnx.helper.set_model_props(file, {"handopt_digest": model.digest})
    onnx.checker.check_model(file, full_check=True)
    return bytes(file.SerializeToString())


class _Graph:
    """Nodes and constants of a graph on their way. Values are known by their names."""

    def __init__(self, onnx: Any, model: "PoseModel") -> None:
        self._onnx, self._network = onnx, model.network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._maps: list[str] = []

    def features(self) -> str:
        """The name of the features (B, hidden). Images go through the layers as (B, channels, rows, columns)."""
        x = self._node("Transpose", ["view"], "stem.in", perm=[0, 3, 1, 2])
        x = self._relu(self._convolve(x, "stem", STEM, 2))
        for stage in range(self._network.stages):
            x = self._relu(self._convolve(x, f"stage{stage}.shrink", 3, 2))
            inner = self._relu(self._convolve(x, f"stage{stage}.first", 3, 1))
            inner = self._convolve(inner, f"stage{stage}.second", 3, 1)
            x = self._relu(self._node("Add", [inner, x], f"stage{stage}.sum"))
            self._maps.append(x)
        x = self._node("Transpose", [x], "dense.in", perm=[0, 2, 3, 1])
        x = self._node("Flatten", [x], "dense.flat", axis=1)
        return self._relu(self._dense(self._relu(self._dense(x, "dense")), "inner"))

    def hypotheses(self, features: str) -> list[Any]:
        """The heads as an output."""
        heads = self._network.heads
        numbers = len(self._network.weights["head.bias"]) // heads
        shape = self._constant("hypotheses.shape", np.array([-1, heads, numbers], np.int64))
        self._node("Reshape", [self._dense(features, "head"), shape], "hypotheses")
        return [self._output("hypotheses", ["batch", heads, numbers])]

    def joints(self, features: str) -> list[Any]:
        """Uncertainty and visibility of the joints as outputs."""
        half = len(self._network.weights["joints.bias"]) // 2
        sizes = self._constant("joints.sizes", np.array([half, half], np.int64))
        told = self._onnx.helper.make_node(
            "Split", [self._dense(features, "joints"), sizes], ["joints.log_mm", "joints.logit"], axis=1
        )
        self.nodes.append(told)
        limits = {"joints.low": LOWEST_LOG_MM, "joints.high": HIGHEST_LOG_MM}
        ends = [self._constant(name, np.array(value, np.float32)) for name, value in limits.items()]
        self._node("Exp", [self._node("Clip", ["joints.log_mm", *ends], "joints.clipped")], "uncertainty_mm")
        self._node("Sigmoid", ["joints.logit"], "visible")
        return [self._output(name, ["batch", half]) for name in ("uncertainty_mm", "visible")]

    def votes(self, features: str) -> list[Any]:
        """Where the cells vote that the joints are, and how far off these may be, as outputs."""
        fine, middle, deep = self._maps[-MAPS:]
        axes = self._constant("votes.axes", np.array([2, 3], np.int64))
        context = self._relu(self._dense(features, f"{VOTES}context"))
        context = self._node("Unsqueeze", [context, axes], "votes.context.map")
        x = self._node("Add", [self._relu(self._vote(deep, "deep")), context], "votes.deepest")
        x = self._node("Add", [self._vote(middle, "middle"), self._doubled(x)], "votes.middle.sum")
        x = self._relu(self._vote(self._relu(x), "joined"))
        narrow = self._doubled(self._vote(x, "narrowed"))
        x = self._relu(self._node("Add", [self._vote(fine, "fine"), narrow], "votes.fine.sum"))
        inner = self._vote(self._relu(self._vote(x, "first")), "second")
        x = self._relu(self._node("Add", [x, inner], "votes.cells"))
        return self._told(self._vote(x, "said"))

    def _told(self, said: str) -> list[Any]:
        joints = len(self._network.weights[f"{VOTES}said.bias"]) // VOTE_NUMBERS
        cells = SIZE >> (self._network.stages - MAPS + 2)
        places = np.zeros((cells * cells, 3), np.float32)
        places[:, :2] = cell_places(cells).reshape(-1, 2)
        shape = self._constant("votes.shape", np.array([-1, joints, VOTE_NUMBERS, cells * cells], np.int64))
        parts = self._constant("votes.parts", np.array([3, 1, 1], np.int64))
        last, both = (
            self._constant(f"votes.{name}", np.array(axes, np.int64))
            for name, axes in (("last", [3]), ("both", [2, 3]))
        )
        said = self._node("Reshape", [said, shape], "votes.each")
        names = ["votes.offset", "votes.logit", "votes.log_mm"]
        self.nodes.append(self._onnx.helper.make_node("Split", [said, parts], names, axis=2))
        share = self._node("Softmax", ["votes.logit"], "votes.share", axis=3)
        offset = self._node("Mul", ["votes.offset", share], "votes.weighed")
        offset = self._node("ReduceSum", [offset, last], "votes.moved", keepdims=0)
        offset = self._node(
            "Mul", [offset, self._constant("votes.mm", np.array(VOTE_MM, np.float32))], "votes.moved_mm"
        )
        near = self._node("MatMul", [share, self._constant("votes.places", places)], "votes.near")
        axis = self._constant("votes.axis", np.array([2], np.int64))
        self._node("Add", [offset, self._node("Squeeze", [near, axis], "votes.cells_mm")], "keypoints_mm")
        log_mm = self._node("Mul", ["votes.log_mm", share], "votes.log_weighed")
        log_mm = self._node("ReduceSum", [log_mm, both], "votes.log_sum", keepdims=0)
        limits = {"votes.low": LOWEST_LOG_MM, "votes.high": HIGHEST_LOG_MM}
        ends = [self._constant(name, np.array(value, np.float32)) for name, value in limits.items()]
        self._node("Exp", [self._node("Clip", [log_mm, *ends], "votes.log_clipped")], "radius_mm")
        return [self._output("keypoints_mm", ["batch", joints, 3]), self._output("radius_mm", ["batch", joints])]

    def _vote(self, x: str, name: str) -> str:
        return self._convolve(x, f"{VOTES}{name}", edge(name), 1)

    def _doubled(self, x: str) -> str:
        scales = self._constant(f"{x}.scales", np.array([1, 1, 2, 2], np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._node("Resize", [x, "", scales], f"{x}.doubled", **how)

    def _convolve(self, x: str, name: str, size: int, stride: int) -> str:
        weight = self._network.weights[f"{name}.weight"]
        kernel = weight.reshape(size, size, -1, weight.shape[1]).transpose(3, 2, 0, 1)
        inputs = [x, self._constant(f"{name}.weight", kernel), self._bias(name)]
        pads = [size // 2] * 4
        return self._node("Conv", inputs, f"{name}.out", kernel_shape=[size, size], strides=[stride] * 2, pads=pads)

    def _dense(self, x: str, name: str) -> str:
        weight = self._constant(f"{name}.weight", self._network.weights[f"{name}.weight"])
        return self._node("Gemm", [x, weight, self._bias(name)], f"{name}.out")

    def _bias(self, name: str) -> str:
        return self._constant(f"{name}.bias", self._network.weights[f"{name}.bias"])

    def _relu(self, x: str) -> str:
        return self._node("Relu", [x], f"{x}.relu")

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, values: "FloatImage | np.ndarray[Any, Any]") -> str:
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _output(self, name: str, shape: list[Any]) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape)
