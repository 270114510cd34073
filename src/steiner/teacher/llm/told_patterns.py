"""Phrases that give away that the writer was told the answer.

In the patterns a space stands for any blank space, and the names in braces for the fragments below. They are
looked for in lower-cased text.
"""

from __future__ import annotations

import re

_FRAGMENTS = {
    "adj": r"(?:correct|right|final|actual|true|real)",
    "the": r"(?:the|this|that|its|your)",
    # What is called an answer and is not the one: choices, formats, answers to earlier parts.
    "own": r"\b(?! ?(?:choice|option|set|format|type|sheet|space|box|line|field|unit)s?\b)"
    r"(?!,? (?:to|of|from|in|for) (?:the )?"
    r"(?:\(?[a-z0-9]\b|parts?|steps?|questions?|previous|first|second|sub|last|earlier|above|our|my)\b)",
    # What may be said of an answer that nobody knows yet.
    "open": r"(?! (?:must|has|have|should|needs?|can(?:not)?|will|would|may|might|in|we|i|as(?! {value}))\b)"
    r"(?! (?:is|should be|to be) (?:an?|not|in|asked|required|supposed|either|one of|between|positive"
    r"|negative|even|odd|the same|less|greater|more|at)\b)",
    "not": r"(?<!not )(?<!n't )(?<!n’t )(?<!never )(?<!without )",
    "value": r"[^\w\s]{0,3}(?:\d|[b-j]\b|a\))",
    "giver": r"(?:the (?:problem|question|user|prompt|teacher|task|system|instructions?|hint)|you)",
}

ENGLISH = (
    # Names for an answer that somebody holds.
    r"\b(?:reference|gold(?:en)?|ground[- ]truth|official|revealed|disclosed) (?:{adj} )?(?:answer"
    r"|solution)s?{own}",
    r"\b(?:the|this|that|your|with) (?:{adj} )?(?:given|provided|supplied|known|expected|intended|stated"
    r"|target)"
    r" (?:{adj} )?answer{own}",
    r"\b(?:the|this|that|your) (?:{adj} )?(?:provided|supplied) (?:{adj} )?solution{own}",
    r"\banswer[- ]keys?\b|\bsolution (?:key|manual)\b|\bmark(?:ing)? scheme\b|\bthe ground[- ]truth\b|\bas"
    r" hinted\b",
    # Given the answer; knowing that the answer is 72.
    r"{not}\b(?<!already )(?:given|knowing)(?: that)? (?:what )?{the} (?:{adj} )*answer{own}{open}",
    r"\b(?:since|because|given|seeing)(?: that)? the (?:correct|right|actual|true|known) answer"
    r" (?:is|was|should be)\b{open}(?! (?:not )?(?:in|among|listed|available))",
    r"\b(?:since|because|as|now that) (?:i|we|you) (?:already |now )?(?:know|have|were (?:told|given))"
    r" (?:that )?(?:what )?the (?:{adj} )?answer{own}{open}",
    r"{not}\b(?:i|we|you) (?:already |now )*know (?:that )?(?:what )?the {adj} answer{own}{open}",
    r"{not}\b(?:i|we|you) (?:already|now) know (?:that )?(?:what )?the answer{own}{open}",
    r"\b(?:i|we|you) know (?:that )?the answer (?:is|should be) {value}",
    r"{not}\bknowing (?:in advance|beforehand|already)\b[^.]{0,40}\banswer\b",
    # The answer is known, was given, has been provided.
    r"\banswer (?:is|was|has been|had been|being) (?:already |now |also |explicitly )*"
    r"(?:known\b(?! (?:as|for)\b)|provided|revealed|supplied|disclosed|told|shown to (?:me|us|be)"
    r"|stated (?:as|to be)|given(?: ?[.,;:!]| ?$| to (?:me|us|be)\b| as {value}| in the (?:prompt|task"
    r"|instructions?)"
    r"| (?:so|and|already|above|here|beforehand|in advance|at the (?:start|outset|beginning))\b))",
    r"\banswer (?:that (?:was|is|has been) |which (?:was|is) )?(?:provided|supplied|revealed|disclosed)\b"
    r"(?! (?:choice|option|(?:in|by|among) (?!{giver})))",
    r"\banswer (?:that |which )?(?:was |is |has been |(?:i|we) (?:was|were|are|am|have been) )(?:told"
    r"|shown)\b",
    r"\banswer (?:that |which )?(?:i|we) (?:was|were|are|am|have been) (?:given|provided)\b",
    r"\banswer given (?:to (?:me|us)|above|here|beforehand|in (?:the )?(?:prompt|advance|problem|question"
    r"|task)"
    r"|by {giver})\b",
    # According to the answer; this differs from the correct answer.
    r"\b(?:according to|based on|judging by|going by|(?:as )?per|guided by|relying on) {the}"
    r" (?:(?:correct|right|actual|true) answer{own}|answer(?= ?[.,;:]| ?$| (?:given|provided|i was|we"
    r" (?:were|are)))"
    r"(?! ?,? ?(?:choice|option)))",
    r"\b(?:match(?:es|ed|ing)?|agree(?:s|d|ing)? with|consistent with|in line with|contradict(?:s|ed|ing)?"
    r"|conflict(?:s|ed|ing)? with|differ(?:s|ed|ent|ing)? from|deviat(?:es?|ing) from|compar(?:e|ed|es|ing)"
    r"(?: \w+){0,3} (?:with|to)|against|(?:larger|smaller|greater|less|more|higher|lower|bigger) than"
    r"|short of)"
    r" the (?:(?:correct|right|true|actual) (?:answer|result)|(?:expected|given|provided|known|target"
    r"|intended)"
    r" (?:result|solution|outcome)\b(?! (?:of|from|for)\b)){own}",
    r"\b(?:to|must|should|need to|has to|have to) (?:match|fit|agree with|reproduce|(?:get|reach)(?= the"
    r" (?:known|given|provided))) the"
    r" (?:known|given|provided|expected|correct) (?:answer|result){own}(?! (?:by|through|with|via"
    r"|without)\b)",
    r"\bthe (?:correct|right|actual|true) answer (?:says|tells|shows|indicates|suggests|confirms|requires)\b",
    r"\b(?:but|however,?|whereas|while|yet) the (?:correct|right|actual|true) answer (?:is|was|should be)"
    r" (?:actually |really )?{value}",
    # As provided; I was told; working backwards from the answer.
    r"\bas (?:was )?(?:provided|supplied)(?= ?[.,;!)]| ?$|,? (?:the|this) (?:correct )?answer)",
    r"\bas (?:was )?(?:provided|given|stated|shown|revealed|indicated|specified|confirmed|supplied) (?:in"
    r"|by|with|to)"
    r" (?:me\b|us\b|you\b|the user\b|the prompt\b|(?:the )?(?:{adj} |reference |provided |given )*"
    r"(?:answer|solution|hint){own})",
    r"\b(?:was|were|am|been|being|are) (?:already |just |now )?(?:told|given|shown|informed of|provided with"
    r"|supplied with|handed) (?:that )?(?:what )?the (?:{adj} )?answer{own}{open}",
    r"\b{giver} (?:has |have |had |already |also )*(?:told|gave|gives?|given|provides?|provided|reveal(?:s"
    r"|ed)?"
    r"|supplie[ds]|says?|states?|tells?) (?:me |us )?(?:that )?the (?:{adj} )?answer{own}{open}",
    r"\b(?:peek(?:ed|ing)?|look(?:ed|ing)?|glanc(?:ed|ing)) (?:at|up) the (?:{adj} )?answer{own}",
    # Somebody else who is watched at work.
    r"\bthe solver (?:did|does|has|had|gave|gives|found|finds|made|makes|missed|forgot|should|was|got)\b",
    r"\b(?:back(?:ward)?s?|reverse(?:[- ]engineer(?:ed|ing)?)?) from (?:the )?(?:{adj} |known |given"
    r" )*answer{own}",
)

CHINESE = (
    r"(?:标准|参考|官方|既定|预设|给定)(?:的)?(?:正确)?(?:答案|解答)(?!选项|格式|的?形式)",
    r"(?:已知|已经知道|知道了|得知|告知)(?:了)?(?:的|题目的|本题的|最终的|最终|这道题的"
    r"|其)?(?:正确)?答案(?!选项)",
    r"(?<!不)(?<!未)(?<!没)知道(?:的|了)?(?:正确|最终|最后|这个)的?答案(?!选项)",
    r"(?:给出|给定|提供|提示|透露|公布|所给|预先给|事先给)了?的(?:正确|最终|标准)?答案(?!选项|中|里|都"
    r"|必须|应|要|格式|形式|只)",
    r"(?:根据|按照|依据|参照|对照|参考|结合|基于|由于|鉴于|看到)(?:了)?(?:题目|题中|上述|所|你"
    r"|用户)?(?:给出|给|提供|已知)?的?"
    r"(?:正确|标准)答案(?!选项)",
    r"(?:根据|按照|依据|参照|对照|从)(?:这个|该|题目的?)?答案(?=[，,。；：可来倒反得推]|$)(?!选项)",
    r"(?:正确|标准|最终|题目的?|本题的?)?答案(?:是)?(?:已经|已|早已|事先|预先|被)(?:被)?(?:知道|知晓"
    r"|知(?![名识])|给出|给定|提供|公布|揭晓|揭示|告知|透露)",
    r"(?:题目|题干|题中|用户|老师|你|提示)(?:中|里)?(?:已经|已|直接|事先)?(?:给出|给|提供|告诉|说明"
    r"|提示)了?(?:我们?|出)?了?(?:正确|最终)?"
    r"的?答案(?!选项|格式|的?形式|[是为]?(?:必须|应该|要))",
    r"(?:既然|因为|由于|鉴于)(?:我们|我)?(?:已经|已)?(?:知道)?了?(?:正确|标准|最终)答案(?:就)?(?:是|为|应)",
    r"(?:告诉|被告知|告知)(?:过|了)?(?:我们?)?(?:了)?(?:的)?(?:正确|最终)?的?答案",
    r"(?:与|和|跟|同)(?:题目)?(?:的|给出的|给定的|提供的|已知的|标准|参考)?(?:正确|标准|参考|已知"
    r"|给定)的?(?:答案|结果)"
    r"(?:并|完全|也|都|却|正好|恰好|相?差|明显)?(?:不)?(?:一致|相符|符合|矛盾|不同|吻合|相同|不符|对不上"
    r"|冲突|比较|对比|相比|有出入|差)",
    r"(?:不)?(?:符合|等于|吻合|匹配)(?:给出的|给定的|已知的|题目的)?(?:正确|标准|参考|已知)的?答案",
    r"(?:从|由|用|根据)(?:正确|最终|已知)?的?答案(?:来|进行)?(?:倒推|反推|逆推|往回推|推回)",
    r"(?:而|但|但是|可是|然而)(?:正确|标准|实际)的?答案(?:却|其实|应该|应当|应)?(?:是|为)",
    r"(?:正确|标准)答案(?:告诉|表明|显示|提示|说明|要求)",
    r"答案(?:提示|告诉)(?:了)?我们?",
    r"如答案(?:所示|所说|所述|给出)",
)

OTHERS = {
    "de": (
        r"\b(?:vorgegebene|gegebene|bekannte|bereitgestellte|angegebene)[nr]? (?:richtige[nr]?"
        r" )?(?:antwort|lösung)\b",
        r"\bmusterlösung|\blösungsschlüssel|\breferenz(?:antwort|lösung)",
        r"\b(?:laut|gemäß|entsprechend) der (?:richtigen |korrekten )?(?:antwort|lösung)\b",
        r"\bda (?:wir|ich) die (?:richtige )?(?:antwort|lösung) (?:schon |bereits )?kennen?\b",
    ),
    "es": (
        r"\brespuesta (?:dada|proporcionada|conocida|de referencia|facilitada)\b",
        r"\b(?:según|dada) la respuesta (?:correcta|dada|proporcionada|de referencia)\b",
        r"\b(?:sabiendo|como sabemos) que la respuesta (?:correcta )?es\b|\bclave de respuestas\b",
    ),
    "fr": (
        r"\bréponse (?:donnée|fournie|connue|de référence)\b|\bcorrigé\b",
        r"\b(?:selon|d[’']après) la (?:bonne )?réponse\b|\bsachant que la réponse est\b",
    ),
    "ja": (
        r"(?:与えられた|提供された|既知の|示された|提示された)(?:正しい)?(?:答え|解答|正解)|模範解答"
        r"|参考解答",
        r"(?:答え|正解)(?:が|は)(?:すでに|既に)?(?:与えられ|分かってい|わかってい|知ってい|示され)",
    ),
}
"""Further languages, by ISO 639-1 code."""


def compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return one pattern that finds any of `patterns`."""
    return re.compile("|".join(f"(?:{_filled(pattern)})" for pattern in patterns))


def _filled(pattern: str) -> str:
    # Fragments may hold fragments, and lookbehinds need a fixed width: their space stays a space.
    for _ in range(2):
        for name, fragment in _FRAGMENTS.items():
            pattern = pattern.replace(f"{{{name}}}", fragment)
    pieces = re.split(r"(\(\?<![^)]*\))", pattern)
    return "".join(piece if piece.startswith("(?<!") else _blank(piece) for piece in pieces)


def _blank(pattern: str) -> str:
    return pattern.replace(" ?", r"\s*").replace(" ", r"\s+")
