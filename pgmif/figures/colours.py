"""All colours and colour maps of figures, lessons and studies, and of the viewer's outlines: Okabe and
Ito's, told apart with any colour vision. One name a line: a changed colour draws again what shows it."""

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PINK = "#CC79A7"
SKY = "#56B4E9"
PURPLE = "#882255"
GREY = "#7f7f7f"
DARK_GREY = "#444444"
LIGHT_GREY = "#bbbbbb"
FAINT_GREY = "#eeeeee"

KIND_COLOURS = {
    "source": GREY, "learned": BLUE, "fitted": PURPLE, "rule": ORANGE, "classical": GREEN,
    "control": PINK, "outside": SKY,
}
KIND_WORDS = ("sources grey, learned blue, PGMIF+ purple, rules of the paper orange, classical green, "
              "controls pink, outside light blue")
GTV_COLOUR = VERMILION
REFERENCE_COLOUR = SKY
OUTLINE_COLOURS = {"GTV": ORANGE, "reference": SKY}  # over grey images that move: of the viewer
READING_COLOURS = (BLUE, ORANGE, GREEN, VERMILION)  # of the Sobel operator
PRINTED_COLOUR = VERMILION  # what the paper prints
VERDICT_COLOURS = {"holds": GREEN, "not reproduced": VERMILION, "cannot be tested": "#666666",
                   "depends on the seed": ORANGE}
SOURCE_SHADES = (DARK_GREY, "#999999", "#8c6d31", "#7b4173", "#31a354", "#756bb1")  # of trivial curves
# boxes of the architecture
INPUT_BOX, ENCODER_BOX, DECODER_BOX, LAST_BOX, JUDGE_BOX = (
    FAINT_GREY, "#cfe3f3", "#d9ecd3", "#fde2a8", "#f7d9c4")
LINE = "#333333"
RANK_MAP = "Blues_r"
EDGE_MAP = "autumn"  # edges laid over an image
LENGTH_MAP = "viridis"  # of a displacement
