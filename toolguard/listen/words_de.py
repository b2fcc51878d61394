"""German."""

from toolguard.listen.numbers import german
from toolguard.listen.words import Language

GERMAN = Language(
    code="de",
    phrases={
        "filler": "äh,ähm,hm,hmm,ah,oh,na,naja,na ja,bitte,ach,mal,eben,halt mal,ja also,also,bloß,nur,jetzt,dann",
        "it": "will ich,würde,würde gerne,kann,können,könnten,das,es,die,der,den,dem,ein,eine,einen,mein,meine,"
        "mir,mich,ich,wir,uns,für mich,für uns,für,alles,"
        "buchung,reservierung,termin,bestellung,zahlung,ganze,sie,zu,ist,und,will,möchte,doch bitte,mit,von",
        "yes": "ja,jo,jawohl,ok,okay,gut,sehr gut,alles klar,in ordnung,genau,klar,prima,super,danke,vielen dank,"
        "danke schön,dankeschön,aha,mhm,mm hm,verstehe,ich verstehe,passt,schön,perfekt,kein problem,toll,"
        "ach so,"
        "wunderbar,alles gut,na gut,ja ja,jaja,lassen sie sich zeit,richtig",
        "accept": "ja bitte,ja gerne,gerne,das stimmt,stimmt,machen sie das,ja genau,das ist richtig,"
        "ja machen sie das",
        "no": "nein,nee,nö,ne,nein nein",
        "decline": "nein danke,das war s,das wars,das ist alles,nein das ist alles,sonst nichts,nichts weiter",
        "not": "nicht,kein,keine,keinen,nie",
        "but": "aber,außer,allerdings,jedoch",
        "hold": "moment,einen moment,moment mal,moment bitte,warte,warten sie,warten sie mal,warte mal,augenblick,"
        "einen augenblick,sekunde,eine sekunde,kleinen moment,einen kleinen moment,ich überlege,"
        "lass mich überlegen,"
        "lassen sie mich überlegen,ich muss kurz nachsehen,noch nicht,eine minute,moment moment",
        "stop": "stopp,stop,halt,anhalten,aufhören,hören sie auf,hör auf,halt stopp",
        "cancel": "abbrechen,storniere,stornieren,stornieren sie,stornieren sie das,brechen sie ab,"
        "brechen sie das ab,brich ab,"
        "brich das ab,"
        "vergiss es,vergessen sie es,vergessen sie das,lassen sie es,lassen sie das,lass es,lass das,egal,"
        "doch nicht,"
        "lieber nicht,nicht mehr,absagen,sagen sie ab,sagen sie das ab,rückgängig,rückgängig machen,"
        "hat sich erledigt",
        "keep": "nicht abbrechen,nicht stornieren,nicht aufhören,weitermachen,machen sie weiter,mach weiter",
        "change": "lieber,stattdessen,ich meine,ich meinte,ändern,ändern sie,ändere,machen sie daraus,mach daraus,"
        "sondern,"
        "besser,anders,falsch,das ist falsch,das stimmt nicht,verschieben,verschieben sie,verlegen,"
        "verlegen sie,"
        "machen wir,ich habe gesagt,ich sagte,statt,anstatt,korrektur,umbuchen,doch lieber,das war falsch",
        "offer": "wie wäre es mit,wie wäre es,geht auch,ginge auch,ginge,wie sieht es aus mit",
        "also": "außerdem,auch,auch noch,zusätzlich,und noch,noch dazu,dazu noch,und außerdem,noch etwas,ebenfalls",
        "topic": "übrigens,andere frage,eine frage,eine andere frage,nebenbei,was anderes,etwas anderes,kurze frage",
        "ask": "was,wo,wann,warum,wer,wie,wie viel,wieviel,wie lange,welche,welcher,welches,gibt es,haben sie,"
        "können sie mir sagen,sagen sie mir,können sie,kann ich,ist das,sind sie,hast du,um wie viel uhr,"
        "muss ich,"
        "wie teuer,wie spät",
        "repair": "wie bitte,entschuldigung,hallo,sind sie noch da,bist du noch da,hören sie mich,noch einmal,"
        "noch mal,können sie das wiederholen,wiederholen sie das,ich höre sie nicht,was haben sie gesagt,"
        "verzeihung",
        "am": "morgens,am morgen,vormittags,früh,am vormittag",
        "pm": "abends,am abend,nachmittags,am nachmittag,heute abend",
    },
    numbers=german(),
    scales={"hundert": 100, "tausend": 1000},
    articles="ein eine einen einem eins",
    weekdays="montag dienstag mittwoch donnerstag freitag samstag/sonnabend sonntag",
    months="januar/jänner februar märz april mai juni juli august september oktober november dezember",
    today="heute,morgen,übermorgen",
    units={
        "people": "personen,person,leute,gäste,gast,plätze,mann,erwachsene",
        "nights": "nächte,nacht,übernachtungen",
        "days": "tage,tag",
        "hours": "stunden,stunde",
        "minutes": "minuten,minute",
        "money": "euro,euros,franken,dollar,€,$,£",
        "count": "karten,tickets,stück,mal,flaschen,zimmer,tische,tisch",
    },
    at="um,gegen,ab",
    oclock="uhr",
    before={
        "halb": -30, "viertel nach": 15, "viertel vor": -15, "viertel": -45, "dreiviertel": -15,
        "zehn nach": 10, "zehn vor": -10, "fünf nach": 5, "fünf vor": -5, "fünf vor halb": -35, "fünf nach halb": -25,
    },
    noon="mittag,zwölf uhr mittags",
    midnight="mitternacht",
    ordinals="ten,te",
)  # fmt: skip
