"""Headings of sections that list sources and other pages instead of telling something, by language of the wiki."""

_TITLES = {
    "en": """
        references; notes; footnotes; citations; sources; bibliography; works cited; further reading; external links;
        see also; notes and references; references and notes; references and further reading; notes and citations;
        cited sources; general references; citations and references; sources and further reading; external sources;
        explanatory notes; related articles; weblinks
    """,
    "de": "einzelnachweise; weblinks; literatur; siehe auch; quellen; anmerkungen; belege; fußnoten; nachweise",
    "fr": """
        références; notes et références; voir aussi; liens externes; bibliographie; articles connexes; annexes; notes;
        lien externe; sources; liens internes
    """,
    "es": "referencias; véase también; enlaces externos; bibliografía; notas; notas y referencias; fuentes",
    "it": "note; bibliografia; voci correlate; collegamenti esterni; altri progetti",
    "pt": "referências; ver também; ligações externas; bibliografia; notas; notas e referências; leitura adicional",
    "nl": """
        referenties; zie ook; externe links; externe link; literatuur; bronnen; noten; bronnen, noten en/of referenties
    """,
    "pl": "przypisy; bibliografia; linki zewnętrzne; zobacz też; uwagi",
    "sv": "referenser; se även; externa länkar; källor; noter; litteratur",
    "ru": "примечания; литература; ссылки; см. также; источники; комментарии",
    "uk": "примітки; література; посилання; див. також; джерела",
    "cs": "reference; literatura; externí odkazy; související články; poznámky",
    "tr": "kaynakça; ayrıca bakınız; dış bağlantılar; notlar",
    "vi": "tham khảo; liên kết ngoài; xem thêm; chú thích; đọc thêm",
    "ja": "脚注; 出典; 参考文献; 関連項目; 外部リンク; 注釈",
    "zh": "參考文獻; 参考文献; 參考資料; 参考资料; 外部連結; 外部链接; 外部鏈接; 參見; 参见; 注释; 註釋; 相關條目",
    "ko": "각주; 같이 보기; 외부 링크; 참고 문헌; 주해",
    "ar": "مراجع; المراجع; انظر أيضا; وصلات خارجية; روابط خارجية",
    "fa": "منابع; جستارهای وابسته; پیوند به بیرون; پانویس",
    "he": "הערות שוליים; קישורים חיצוניים; לקריאה נוספת; ראו גם",
}
_BY_LANGUAGE = {
    language: frozenset(" ".join(title.split()) for title in titles.split(";")) for language, titles in _TITLES.items()
}


def is_back_matter(title: str, language: str) -> bool:
    """Whether a section of this title only lists sources and other pages."""
    return " ".join(title.split()).lower() in _BY_LANGUAGE.get("en" if language == "simple" else language, ())
