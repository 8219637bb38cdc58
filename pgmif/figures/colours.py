"""All colours and colour maps of figures, lessons and studies, and of the viewer's outlines: Okabe and
Ito's, told apart with any colour vision."""

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PINK, SKY, PURPLE, GREY = "#CC79A7", "#56B4E9", "#882255", "#7f7f7f"
DARK_GREY, LIGHT_GREY, FAINT_GREY = "#444444", "#bbbbbb", "#eeeeee"

KIND_COLOURS = {
    "source": GREY, "learned": BLUE, "fitted": PURPLE, "rule": ORANGE, "classical": GREEN,
    "control": PINK, "outside": SKY,
}
KIND_WORDS = ("sources grey, learned blue, PGMIF+ purple, rules of the paper orange, classical green, "
              "controls pink, outside light blue")
GTV_COLOUR, REFERENCE_COLOUR = VERMILION, SKY
OUTLINE_COLOURS = {"GTV": ORANGE, "reference": SKY}  # over grey images that move: of the viewer
PRINTED_COLOUR = VERMILION  # what the paper prints
VERDICT_COLOURS = {"holds": GREEN, "not reproduced": VERMILION, "cannot be tested": "#666666"}
SOURCE_SHADES = (DARK_GREY, "#999999", "#8c6d31", "#7b4173", "#31a354", "#756bb1")  # of trivial curves
# boxes of the architecture
INPUT_BOX, ENCODER_BOX, DECODER_BOX, LAST_BOX, JUDGE_BOX = (
    FAINT_GREY, "#cfe3f3", "#d9ecd3", "#fde2a8", "#f7d9c4")
LINE = "#333333"
RANK_MAP, EDGE_MAP, LENGTH_MAP = "Blues_r", "autumn", "viridis"  # ranks; edges laid over; displacement
