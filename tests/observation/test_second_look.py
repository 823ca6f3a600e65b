"""The second look: its input, its window in the image, and what the network that comes with handopt sees."""

from dataclasses import dataclass, field

import numpy as np
from support.compare import assert_close
from support.pixel_network_factory import random_network

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, FOREARM, HAND, OBJECT, OTHER_HAND, PIXEL_LABELS
from handopt.observation.other_pixels import evidence_and_labels_in, other_pixels_of
from handopt.observation.pixel_network import PixelOutput
from handopt.observation.pixel_reading import PixelReading, probability_in_image, reading_of, three_of
from handopt.observation.pixel_window import pixel_window
from handopt.observation.second_look import CHANNELS, SIZE, default_network, look_again, second_input
from handopt.observation.surfaces import segment_surfaces
from handopt.typing import FloatImage

CAMERA = Camera(475.0, 475.0, 159.5, 119.5, 320, 240)
PALM = np.array([0.0, 0.0, 500.0])


@dataclass
class Remembers:
    """A network that keeps what it is shown, and says that everything is an object."""

    seen: list[FloatImage] = field(default_factory=list)

    def both_ways(self, images: FloatImage) -> PixelOutput:
        self.seen.append(images)
        return all_are(OBJECT, len(images), images.shape[1])


def all_are(label: int, count: int, size: int) -> PixelOutput:
    probability = np.tile(np.eye(len(PIXEL_LABELS), dtype=np.float32)[label], (count, size, size, 1))
    places = np.tile((0.0, 80.0, 0.0), (count, 1))
    one = np.ones(count)
    return PixelOutput(probability, 0 * places, places, one, 0.9 * one, 0.5 * one, 0 * one)


def first_look(depth: FloatImage) -> PixelReading:
    window = pixel_window(depth, CAMERA, PALM)
    return reading_of(window, all_are(HAND, 1, len(window.offset_mm)), 0)


def scene() -> tuple[FloatImage, FloatImage]:
    """A hand's plate at 490 mm before a wall, and a predicted one at 500 mm that reaches farther."""
    depth, skin = np.full((240, 320), 800.0, np.float32), np.zeros((240, 320), np.float32)
    depth[80:160, 120:200] = 490.0
    skin[80:160, 120:210] = 500.0
    depth[100:104] = 0.0
    return depth, skin


def test_the_input_has_depth_labels_and_the_predicted_hand() -> None:
    nan = np.nan
    offset, skin = np.array([[[10.0, nan, -300.0]]]), np.array([[[-5.0, 4.0, nan]]])
    first = np.array([[[[0.7, 0.1, 0.2], [0.5, 0, 0], [0.1, 0.2, 0.3]]]])
    (((one, two, three),),) = second_input(offset, first, skin)
    assert_close(one, [1, 0.1, 0.7, 0.1, 0.2, 1, 1.0, -0.05], atol=1e-6, reason="float32")
    assert_close(
        two, [0, 0, 0, 0, 0, 1, 0, 0.04], atol=1e-6, reason="float32; labels count where something is measured"
    )
    assert_close(three, [1, -2, 0.1, 0.2, 0.3, 0, 0, 0], atol=1e-6, reason="float32")
    assert (second_input(np.array([100.0]), first[0, 0, :1], np.array([0.0]))[..., 6] == 2).all(), "at most 30 mm count"


def test_three_probabilities_are_kept_of_six() -> None:
    probability = np.zeros(len(PIXEL_LABELS), np.float32)
    probability[[HAND, FOREARM, OBJECT, OTHER_HAND, BACKGROUND]] = 0.4, 0.2, 0.2, 0.1, 0.1
    assert_close(three_of(probability), [0.4, 0.2, 0.3], atol=1e-6, reason="float32")


def test_the_window_shows_what_is_there() -> None:
    depth, skin = scene()
    network = Remembers()
    look_again(depth, CAMERA, first_look(depth), skin, PALM, 1.0, network)
    (image,) = network.seen[0]
    assert image.shape == (SIZE, SIZE, CHANNELS)
    middle = SIZE // 2
    assert_close(image[middle, middle], [1, -0.1, 1, 0, 0, 1, -10 / 15, 0.0], atol=1e-6, reason="float32")
    # A window's pixel is 2.25 mm, an image's is 1.05 mm: 45 pixels right of the middle only the skin is seen.
    beside = image[middle, middle + round(45 * 500 / 475 / 2.25)]
    assert_close(beside, [1, 2.0, 1, 0, 0, 1, 2.0, 0.0], atol=1e-6, reason="float32; differences are cut at 30 mm")
    gone = image[middle - round(18 * 500 / 475 / 2.25), middle]
    assert_close(gone[:5], [0, 0, 0, 0, 0], atol=0, reason="nothing is measured there, so that nothing is said of it")


def test_a_larger_hand_has_the_same_window() -> None:
    depth, skin = scene()
    one, other = Remembers(), Remembers()
    look_again(depth, CAMERA, first_look(depth), skin, PALM, 1.0, one)
    far = 2 * depth
    window = pixel_window(far, CAMERA, 2 * PALM, 2.0)
    reading = reading_of(window, all_are(HAND, 1, len(window.offset_mm)), 0)
    look_again(far, CAMERA, reading, 2 * skin, 2 * PALM, 2.0, other)
    assert_close(other.seen[0], one.seen[0], atol=1e-6, reason="a world of another size has the same image")


def test_beyond_the_window_the_first_look_counts() -> None:
    depth, skin = scene()
    first = first_look(depth)
    again = look_again(depth, CAMERA, first, skin, PALM, 1.0, Remembers())
    assert again.wider is first
    box, probability = probability_in_image(again, depth, CAMERA)
    whole = np.zeros((240, 320), int)
    whole[box] = probability.argmax(axis=-1)
    inner = slice(120 - 60, 120 + 60), slice(160 - 60, 160 + 60)
    assert (whole[inner][depth[inner] > 0] == OBJECT).all()
    # 144 mm from the middle the second window ends, 180 mm from it the first one: in pixels 137 and 171.
    assert (whole[:, 160 + 140 : 160 + 155][depth[:, 300:315] > 0] == HAND).all()


def test_what_neither_window_shows_counts_in_full() -> None:
    depth, skin = np.full((480, 640), 520.0, np.float32), np.zeros((480, 640), np.float32)
    camera = Camera(475.0, 475.0, 319.5, 239.5, 640, 480)
    window = pixel_window(depth, camera, PALM)
    first = reading_of(window, all_are(HAND, 1, len(window.offset_mm)), 0)
    again = look_again(depth, camera, first, skin, PALM + np.array([60.0, 60.0, 0.0]), 1.15, Remembers())
    (rows, columns), probability = probability_in_image(again, depth, camera)
    assert probability.shape[:2] == (rows.stop - rows.start, columns.stop - columns.start)
    nowhere = np.asarray(probability.sum(axis=-1) == 0)
    assert np.count_nonzero(nowhere) > 1000, "two corners of the box"
    assert nowhere[0, -1]
    assert nowhere[-1, 0]
    assert (probability[-1, -1].argmax(), probability[0, 0].argmax()) == (OBJECT, HAND)
    evidence, _ = evidence_and_labels_in(again, depth, camera)
    assert (evidence[rows, columns][nowhere] == 1).all()
    assert evidence[rows, columns][-1, -1] < 0.01
    other = other_pixels_of(segment_surfaces(depth, camera, None, planes=False), again).other
    assert not other[rows, columns][nowhere].any()
    assert other[rows, columns][-1, -1]


def test_a_mirrored_image_gives_the_mirrored_reading(rng: np.random.Generator) -> None:
    depth, skin = scene()
    network = random_network(rng, CHANNELS, SIZE)
    one = look_again(depth, CAMERA, first_look(depth), skin, PALM, 1.0, network)
    flipped = np.ascontiguousarray(depth[:, ::-1])
    other = look_again(flipped, CAMERA, first_look(flipped), np.ascontiguousarray(skin[:, ::-1]), PALM, 1.0, network)
    same = one.probability == other.probability[:, ::-1]
    assert same.mean() > 0.98, "but for pixels half way between two of the image, and their neighbours"


def test_the_network_that_comes_with_handopt_says_how_it_was_made() -> None:
    network = default_network()
    assert {"version", "seed", "held_out"} <= network.metadata.keys()
    assert network.metadata["held_out"]["hand_iou"] > 0.8
    assert network.weights["stem.weight"].shape[0] == 25 * CHANNELS
