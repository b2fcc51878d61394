"""Dutch."""

from toolguard.listen.numbers import dutch
from toolguard.listen.words import Language

DUTCH = Language(
    code="nl",
    phrases={
        "filler": "eh,ehm,uh,uhm,hm,nou,ach,oh,ah,alsjeblieft,alstublieft,eigenlijk,even,gewoon,dus,nu,dan,hoor",
        "it": "wil,wil graag,zou,kan,kunt,kunnen,dat,dit,het,de,een,mijn,mij,me,ik,we,ons,voor mij,voor ons,voor,"
        "alles,reservering,boeking,afspraak,"
        "bestelling,betaling,is,van,en,u,je,maar even,wil,graag,met",
        "yes": "ja,jawel,ok,oké,okay,goed,prima,is goed,dat is goed,heel goed,dank u,dank je,dank je wel,"
        "dank u wel,"
        "bedankt,mm hm,mhm,aha,ik snap het,begrepen,natuurlijk,perfect,mooi,fijn,geen probleem,top,super,"
        "klopt,ja ja,"
        "duidelijk,helder,lekker,neem de tijd",
        "accept": "ja graag,ja alstublieft,ga je gang,gaat uw gang,dat klopt,doe maar,doet u maar,precies,"
        "ja dat klopt,"
        "inderdaad",
        "no": "nee,nee nee,neen",
        "decline": "nee bedankt,nee dank u,nee dank je,dat is alles,dat was het,verder niets,nee dat is alles",
        "not": "niet,geen,nooit",
        "but": "maar,behalve,echter",
        "hold": "wacht,wacht even,een moment,een momentje,momentje,moment,een seconde,een ogenblik,ogenblikje,"
        "een minuutje,laat me denken,laat me even denken,laat me kijken,even wachten,even denken,nog niet,"
        "wacht eens,een ogenblikje",
        "stop": "stop,stop maar,halt,hou op,houd op,stop daarmee",
        "cancel": "annuleer,annuleren,annuleer dat,annuleer het,laat maar,laat maar zitten,vergeet het,vergeet dat,"
        "hoeft niet meer,hoeft niet,toch maar niet,toch niet,liever niet,doe maar niet,doe dat niet,afzeggen,"
        "zeg maar af,afbreken,niet meer",
        "keep": "niet annuleren,annuleer niet,niet stoppen,ga door,gaat u door,ga verder,doorgaan",
        "change": "liever,in plaats van,in plaats daarvan,ik bedoel,ik bedoelde,verander,veranderen,wijzig,wijzigen,"
        "maak er,maak het,beter,anders,fout,dat is fout,dat klopt niet,verkeerd,verzet,verzetten,verplaats,"
        "verschuif,"
        "ik zei,toch maar,maak daar,doe toch,ik heb me vergist,ik vergis me,ik ben van gedachten veranderd",
        "offer": "wat dacht u van,wat dacht je van,kan het ook,zou het ook kunnen,kan ook",
        "also": "ook,en ook,ook nog,bovendien,daarnaast,en verder,nog iets,erbij",
        "topic": "trouwens,overigens,andere vraag,een andere vraag,een vraag,vraagje,een vraagje,iets anders",
        "ask": "wat,waar,wanneer,waarom,wie,hoe,hoeveel,hoe lang,welke,is er,zijn er,heeft u,hebben jullie,heb je,"
        "kunt u mij vertellen,kun je me vertellen,vertel me,kan ik,bent u,kunt u,kun je,hoe laat,moet ik,"
        "mag ik,"
        "zijn jullie",
        "repair": "sorry,pardon,wat zegt u,wat zei u,wat zeg je,kunt u dat herhalen,herhaal,hallo,bent u er nog,"
        "ben je er nog,hoort u mij,hoor je me,ik hoor u niet,excuseer,wablief,nog een keer",
        "am": "s ochtends,'s morgens,in de ochtend",
        "pm": "s avonds,'s middags,in de avond,in de middag,vanavond,vanmiddag",
    },
    numbers=dutch(),
    scales={"honderd": 100, "duizend": 1000},
    articles="een",
    weekdays="maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    months="januari februari maart april mei juni juli augustus september oktober november december",
    today="vandaag,morgen,overmorgen",
    units={
        "people": "personen,persoon,mensen,gasten,man,volwassenen,plaatsen",
        "nights": "nachten,nacht",
        "days": "dagen,dag",
        "hours": "uren",
        "minutes": "minuten,minuut",
        "money": "euro,euros,dollar,€,$",
        "count": "kaartjes,tickets,stuks,keer,flessen,kamers,tafels,tafel",
    },
    at="om,rond,tegen",
    oclock="uur",
    before={
        "half": -30, "kwart over": 15, "kwart voor": -15, "tien over": 10, "tien voor": -10, "vijf over": 5,
        "vijf voor": -5, "tien voor half": -40, "vijf voor half": -35, "vijf over half": -25, "tien over half": -20,
    },
    noon="twaalf uur s middags",
    midnight="middernacht",
)  # fmt: skip
