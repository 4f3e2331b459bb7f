"""Drawing a mini scene as a picture: an RGB image of 48 pixels (or any multiple), and its JPEG bytes.

Positions, sizes and colours are jittered, so that no two pictures of equal scenes are equal.
"""

from __future__ import annotations

import io
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from sharegpt4v.mini.scene import ART_STYLES, BACKGROUNDS, CELEBRITIES, COLOURS, LANDMARKS, Scene, Thing

CANVAS = 48  # all coordinates below are in pixels of a canvas of this side

Colour = tuple[int, int, int]


def draw(scene: Scene, random: Random, pixels: int = CANVAS) -> Image.Image:
    """Draw `scene` as a square RGB image of `pixels` by `pixels`."""
    image = Image.new("RGB", (CANVAS, CANVAS), jitter(BACKGROUNDS[scene.background], random, 12))
    canvas = ImageDraw.Draw(image)
    for thing in scene.things:
        draw_thing(canvas, thing, random)
    if scene.word:
        draw_word(canvas, scene.word, random)
    if scene.name:
        {"celebrity": draw_celebrity, "landmark": draw_landmark, "artwork": draw_artwork}[scene.kind or ""](
            canvas, scene.name, random
        )
    if pixels != CANVAS:
        image = image.resize((pixels, pixels), Image.Resampling.BICUBIC)
    return spoilt(image, scene.flaw, random) if scene.flaw else image


def spoilt(image: Image.Image, flaw: str, random: Random) -> Image.Image:
    """The picture with one of `scene.FLAWS`."""
    match flaw:
        case "blur":
            return image.filter(ImageFilter.GaussianBlur(image.width / 16))
        case "noise":
            noise = Image.frombytes("RGB", image.size, random.randbytes(3 * image.width * image.height))
            return Image.blend(image, noise, 0.4)
        case "glare":
            return image.point(lambda value: min(255, 2 * value + 60))
        case _:
            return image.point(lambda value: value // 4)


def jpeg_bytes(image: Image.Image) -> bytes:
    """The image as a JPEG of high quality with full colour resolution."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def jitter(colour: Colour, random: Random, amount: int) -> Colour:
    """The colour, each channel moved by up to `amount`."""
    red, green, blue = (min(255, max(0, channel + random.randint(-amount, amount))) for channel in colour)
    return red, green, blue


def draw_thing(canvas: ImageDraw.ImageDraw, thing: Thing, random: Random) -> None:
    """Draw one object inside its quadrant."""
    radius = 6 if thing.size == "small" else 11
    slack = 2 if thing.size == "small" else 0
    x = (12 if "left" in thing.place else 36) + random.randint(-slack, slack)
    y = (12 if "top" in thing.place else 36) + random.randint(-slack, slack)
    colour = jitter(COLOURS[thing.colour], random, 10)
    box = (x - radius, y - radius, x + radius, y + radius)
    if thing.shape == "circle":
        canvas.ellipse(box, outline=colour, width=3)  # a disc would be too much like a square
    elif thing.shape == "square":
        canvas.rectangle(box, fill=colour)
    elif thing.shape == "triangle":
        canvas.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
    else:
        canvas.rectangle((x - 1, y - radius, x + 1, y + radius), fill=colour)
        canvas.rectangle((x - radius, y - 1, x + radius, y + 1), fill=colour)


def draw_word(canvas: ImageDraw.ImageDraw, text: str, random: Random) -> None:
    """Write `text` on a white board across the top."""
    canvas.rectangle((1, 2, 46, 20), fill=(245, 245, 240))
    font = ImageFont.load_default(size=15 if len(text) <= 4 else 11)
    width = canvas.textlength(text, font=font)
    canvas.text(((CANVAS - width) / 2 + random.randint(-1, 1), 2), text, fill=(10, 10, 10), font=font)


def draw_celebrity(canvas: ImageDraw.ImageDraw, name: str, random: Random) -> None:
    """A face; hair, glasses and hat tell who it is."""
    who, x = CELEBRITIES.index(name), 24 + random.randint(-3, 3)
    hair = [(60, 30, 10), (200, 40, 40), (240, 220, 120), (30, 30, 30)][who]
    canvas.rectangle((x - 14, 36, x + 14, 48), fill=jitter([(90, 90, 200), (60, 140, 60)][who % 2], random, 20))
    canvas.ellipse((x - 12, 6, x + 12, 26), fill=hair)
    canvas.ellipse((x - 10, 12, x + 10, 38), fill=jitter((235, 190, 150), random, 10))
    for eye in (x - 4, x + 4):
        canvas.ellipse((eye - 1, 21, eye + 1, 23), fill=(20, 20, 20))
        if who in (1, 3):
            canvas.ellipse((eye - 4, 18, eye + 4, 26), outline=(20, 20, 20))
    if who == 0:
        canvas.rectangle((x - 10, 2, x + 10, 10), fill=(30, 30, 160))
    if who == 3:
        canvas.rectangle((x - 8, 30, x + 8, 37), fill=(70, 50, 30))
    canvas.line((x - 4, 32, x + 4, 32), fill=(170, 50, 50))


def draw_landmark(canvas: ImageDraw.ImageDraw, name: str, random: Random) -> None:
    """A building of stone; its outline tells which."""
    x, stone = 24 + random.randint(-4, 4), jitter((190, 180, 165), random, 15)
    which = list(LANDMARKS).index(name)
    if which == 0:
        canvas.polygon([(x, 3), (x - 6, 46), (x + 6, 46)], fill=stone)
        canvas.rectangle((x - 8, 20, x + 8, 24), fill=stone)
    elif which == 1:
        for centre in (x - 10, x + 10):
            canvas.arc((centre - 10, 16, centre + 10, 60), 180, 360, fill=stone, width=4)
    elif which == 2:
        canvas.pieslice((x - 16, 12, x + 16, 44), 180, 360, fill=stone)
        canvas.rectangle((x - 18, 28, x + 18, 44), fill=stone)
    else:
        for step in range(4):
            canvas.rectangle((x - 20 + 5 * step, 38 - 8 * step, x + 20 - 5 * step, 46), fill=stone)


def draw_artwork(canvas: ImageDraw.ImageDraw, name: str, random: Random) -> None:
    """A framed painting; its pattern tells the style."""
    canvas.rectangle((3, 3, 44, 44), fill=(235, 225, 205), outline=(110, 70, 30), width=3)
    paint, shift = jitter(random.choice(list(COLOURS.values())[:5]), random, 20), random.randint(0, 3)
    style = list(ART_STYLES).index(name)
    for step in range(8 + shift, 42, 7):
        if style == 0:
            canvas.line((8, step, 40, step), fill=paint, width=2)
        elif style == 1:
            for other in range(8 + shift, 40, 7):
                canvas.ellipse((step - 2, other - 2, step + 1, other + 1), fill=paint)
        elif style == 2:
            for left in range(8, 38, 8):
                canvas.arc(
                    (left, step - 4, left + 8, step + 3), 180 if left % 16 else 0, 0 if left % 16 else 180, paint, 2
                )
        else:
            canvas.line((8, step, 40, step), fill=paint, width=1)
            canvas.line((step, 8, step, 40), fill=paint, width=1)
