"""Writes `soundsright/data/lexicon_en.json`: the words of the sentence grammar with their phones.

The lists below are the source. The program `espeak-ng`, which you must install, transcribes each word in received
pronunciation. Its symbols are mapped to the 44 phones of the published distribution.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from soundsright.data.sentences import PHONE_PERCENT

LISTS = {
    "ADJECTIVE": """
        able ancient angry bitter bold brave brief bright brittle broken busy calm careful cheap clean
        clever cold cosy crisp curious damp dark deep dirty distant dull early easy empty equal faint
        fair famous fast fierce final firm flat foreign fresh friendly full gentle giant golden good
        grand grey handsome hard heavy hidden hollow huge hungry idle joint kind large late lazy light
        little local lonely long loose loud lovely loyal merry mild modern muddy narrow nervous noisy
        odd old orange pale patient plain polite poor precious pretty proud public pure quick quiet
        rapid rare raw ready red rich rough round royal rude sad secret shallow sharp shiny silent
        silver simple single slow small smooth soft sour spare square steady steep stiff strange strong
        sudden sweet tall tame tender thick thin thirsty tidy tiny tired total vague warm weak wealthy
        wet whole wide wild wise wooden worn yellow young""",
    "THING": """
        apple arrow basket bell bicycle blanket boat book bottle bowl box brush bucket cable cake camera
        candle card carpet chair cheese chimney clock cloud coat coin cup curtain desk diamond door drum
        engine feather fence flag flower fork garage-door garment glove guitar hammer hat jacket jar
        jewel journey judgement kettle key knife ladder lamp leaf letter machine map measure message
        mirror motor mountain-road moustache needle newspaper notebook oven paper parcel pencil piano
        picture pillow pipe plate pleasure pocket poem present purse puzzle radio razor ribbon ring road
        rope sandwich saw shadow sheet shirt shoe shovel spoon stamp statue stone story string suitcase
        table teapot telephone thing ticket tool tower toy treasure tree trumpet umbrella vase video
        violin wagon wall watch wheel whistle window wire""",
    "THINGS": """
        apples arrows bells blankets boats books bottles bowls boxes brushes cables cakes candles cards
        chairs clocks clouds coats coins cups doors drums eggs engines feathers fences flags flowers
        forks gloves hammers hats jewels keys knives ladders lamps leaves letters machines maps measures
        messages mirrors needles oranges papers parcels pears pencils pictures pipes plates poems
        potatoes ribbons rings roads ropes shadows shirts shoes spoons stamps stones stories strings
        tables things tickets tools towers toys treasures trees visions walls watches wheels whistles
        windows wires""",
    "PERSON": """
        actor aunt baker boy brother builder captain child cook cousin dancer daughter doctor driver
        engineer farmer father fisherman friend gardener girl guard guest judge king lawyer leader man
        manager mother nephew neighbour nurse officer painter pilot player poet prince queen sailor
        scholar singer sister soldier stranger student tailor teacher thief tourist traveller uncle
        visitor waiter woman worker writer""",
    "PLACE": """
        attic bank barn bay beach bridge building cave cellar church city cottage corner courtyard
        desert earth factory farm field forest garden gate hall harbour hill hospital hotel house island
        kitchen lake library market meadow museum office palace park path port river road school shed
        shop shore south square stable station street theatre town tunnel valley village west wood yard""",
    "PREPOSITION": "above across behind below beside by inside near outside past through towards under",
    "PAST": """
        appeared arrived bent broke burned changed closed collapsed crashed disappeared dropped fell
        floated froze hung landed leaned lay moved opened remained rolled rose sank shook shone slid
        spun stayed stood stopped turned vanished""",
    "PASTT": """
        admired mentioned bought broke brought built carried changed chose cleaned closed counted
        covered drew enjoyed exchanged examined fetched finished followed forgot found gathered guarded
        helped hid ignored joined kept knew left lifted liked lost loved measured mended missed moved
        needed noticed offered painted praised prepared pulled pushed raised reached remembered repaired
        returned saved saw sent shared showed sold stole thanked threw touched used visited wanted
        washed watched welcomed wrapped""",
    "VERB": """
        argue arrive begin breathe change come continue cough dance dream drink eat fish fly go hide
        hurry jump laugh leave listen move play read rest return ride run sail shout sing sit sleep
        smile speak stand stay swim talk think travel vote wait wake walk win wonder work worry write""",
    "VERBT": """
        admire bring build buy carry catch change choose clean close collect count cover cut draw enjoy
        examine fetch find finish fix follow forget give guard hear help hide hold ignore join keep
        leave lend lift like lose make measure mend move need notice offer open paint prepare pull push
        put raise reach remember repair return save see sell send share show steal take teach throw
        touch use visit wash watch welcome wrap""",
    "ADVERB": """
        again badly certainly clearly early easily everywhere finally gladly gently happily lately later
        loudly luckily naturally never now often perfectly perhaps politely probably quickly quietly
        rarely really sadly simply slowly somehow soon strangely suddenly surely there then today
        together tomorrow truly usually yesterday""",
    "NAME": """
        Adam Agnes Alice Amir Anna Arthur Beatrice Benjamin Boris Carmen Charlotte Chen Clara Daniel
        David Diana Edith Elena Emma Fatima Felix Florence George Grace Gregory Hannah Harold Helen Hugo
        Irene Isaac Jack James Joyce Judith Julia Karim Kenneth Laura Leo Lucy Margaret Martin Maya
        Miriam Nadia Nathan Nina Noah Oliver Olivia Oscar Patrick Paul Peter Philip Priya Rachel Robert
        Rosa Ruth Samuel Sarah Sophie Stephen Susan Tara Theo Thomas Timothy Ursula Vera Victor Walter
        William Yusuf Zoe""",
    "HOUR": "one two three four five six seven eight nine ten eleven twelve",
    "PUT": "kept put left hidden found lost placed moved",
    "DAY": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "UNITS": """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
        sixteen seventeen eighteen nineteen""",
    "TENS": "twenty thirty forty fifty sixty seventy eighty ninety",
    "MONTH": "January February March April May June July August September October November December",
    "ORDINAL": """
        first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
        fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth""",
    "SURNAME": """
        Abbott Ahmed Atkins Baldwin Barker Bennett Bishop Bradley Brennan Brooks Bryant Burgess Burton
        Campbell Carter Chambers Chapman Coleman Collins Cooper Crawford Curtis Dalton Dawson Dixon
        Douglas Duncan Edwards Elliott Evans Fisher Fletcher Forster Foster Francis Fraser Gibson
        Gilbert Goodwin Graham Grant Griffin Harding Harper Harrison Hawkins Henderson Higgins Hopkins
        Howard Hudson Hughes Hussain Jackson Jefferson Jenkins Johnson Kennedy Khan Knight Lambert
        Lawson Leonard Lloyd Lopez Macdonald Marsh Marshall Mason Matthews Meyer Mitchell Morgan Morris
        Murphy Murray Nelson Newton Nicholson Norman Novak Owens Palmer Parker Patel Pearson Perkins
        Phillips Porter Powell Quinn Randall Reynolds Richards Roberts Robinson Rogers Russell Sanders
        Schmidt Sharma Shepherd Silva Simmons Simpson Singh Spencer Stevens Stewart Sutton Tanner Thompson
        Tucker Turner Wallace Walsh Watson Weaver Webster Whitman Wilkins Williams Wilson Winters
        Woods Wright Yates Young""",
    "CITY": """
        Athens Austin Baltimore Bangkok Barcelona Belfast Berlin Birmingham Boston Bristol Brussels
        Budapest Cairo Calcutta Cambridge Cardiff Chester Chicago Copenhagen Dallas Delhi Denver Detroit
        Dublin Durham Edinburgh Exeter Florence Geneva Glasgow Halifax Hamburg Helsinki Houston Istanbul
        Jakarta Kingston Lagos Lancaster Leeds Leicester Lima Lisbon Liverpool London Madrid Manchester
        Melbourne Milan Montreal Moscow Mumbai Munich Nairobi Naples Norwich Nottingham Oslo Ottawa Oxford
        Paris Perth Phoenix Portland Prague Quebec Rome Santiago Seattle Seoul Sheffield Stockholm Swansea
        Sydney Tokyo Toronto Vancouver Venice Vienna Warsaw Washington Wellington York Zurich""",
    "FOOD": """
        almonds apricots bacon beans beef biscuits bread butter cabbage carrots cherries chicken chocolate
        cider coffee corn crackers cream cucumber fish garlic ginger grapes ham honey jam lamb lemons
        lentils lettuce mango melon milk mushrooms mustard noodles nuts oats olives onions parsley pasta
        peaches peas pepper pickles plums pork pumpkin radishes raisins rice salad salmon salt sausages
        soup spinach strawberries sugar tea toast tomatoes tuna turkey vinegar walnuts yoghurt""",
    "ANIMAL": """
        badger bat bear beaver beetle buffalo bull butterfly camel cat chipmunk cow crab crow deer dog
        dolphin donkey dragonfly duck eagle elephant falcon fox frog giraffe goat goose hare hawk hedgehog
        hen horse jackal kitten leopard lion lizard lobster monkey mouse octopus otter owl ox panda parrot
        peacock pelican penguin pheasant pig pigeon pony puppy rabbit raven robin rooster salmon seal
        shark sheep snail snake spider squirrel swallow swan tiger toad tortoise turtle vulture weasel
        whale wolf woodpecker worm zebra""",
    "COLOUR": """
        amber beige black blue bronze brown copper cream crimson golden green grey lilac maroon mauve navy
        olive orange pink purple red scarlet silver turquoise violet white yellow""",
    "WEATHER": "cloudy cold dry foggy frosty hot humid icy misty rainy snowy stormy sunny warm wet windy",
    "GLUE": """
        a an the and is better than on we will with has have you ever seen at o'clock please before they
        said that was it takes minutes to in number where did this there were would rather when I think
        if nobody had who hundred thousand tea he may be by my from time she told me that her should for
        more could our some of them like as much your give keep these people seem home or room most
        born call train flight bag chased works but wore dress fried boiled cost pounds pence do
        not until every night turn meeting begins both code address miles away why which ran
        over how many year I'll chapter ends""",
}

# From espeak-ng's symbols to the distribution's phones, one or two each.
SYMBOLS = {
    "ɐ": "ə", "i": "ɪ", "ɛ": "e", "a": "æ", "ɹ": "r", "u": "uː", "ɡ": "g", "eə": "eə", "ɛə": "eə", "iə": "ɪə",
    "ɪə": "ɪə", "iːə": "iː ə", "ʊɹ": "ʊə", "aɪə": "aɪ ə", "aʊə": "aʊ ə", "l̩": "ə l", "n̩": "ə n", "əl": "ə l",
    "ən": "ə n", "ɔ": "ɔː", "o": "ɒ", "ɑ": "ɑː", "ɜ": "ɜː", "aɪɚ": "aɪ ə", "ɪ2": "ɪ", "oː": "ɔː",
    "əʊl": "əʊ l", "ɫ": "l",
    "ɔːɹ": "ɔː", "ɑːɹ": "ɑː", "eəɹ": "eə r", "ɪɹ": "ɪə", "ʔ": "t", "ɾ": "t", "x": "k", "eː": "eə",
    "ɒː": "ɔː",
}  # fmt: skip


def transcribed(word: str) -> str:
    """The phones of a word, separated by spaces."""
    answer = subprocess.run(
        ["espeak-ng", "-q", "--ipa", "--sep=_", "-v", "en-gb-x-rp", word],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    phones: list[str] = []
    for symbol in re.split(r"[_\s]+", answer.replace("ˈ", "").replace("ˌ", "").strip()):
        for phone in SYMBOLS.get(symbol, symbol).split():
            if phone not in PHONE_PERCENT:
                raise SystemExit(f"{word}: {symbol!r} of {answer.strip()!r} is not a phone of the distribution")
            phones.append(phone)
    return " ".join(phones)


def main() -> None:
    lists = {name: [w.replace("-", " ") for w in text.split()] for name, text in LISTS.items()}
    words = sorted({part.lower() for entries in lists.values() for entry in entries for part in entry.split()})
    phones = {word: transcribed(word) for word in words}
    del lists["GLUE"]
    target = Path("soundsright/data/lexicon_en.json")
    target.write_text(
        json.dumps({"lists": lists, "phones": phones}, ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
    )
    print(f"{len(words)} words in {target}")


if __name__ == "__main__":
    main()
