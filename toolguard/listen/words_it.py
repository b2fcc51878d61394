"""Italian."""

from toolguard.listen.numbers import italian
from toolguard.listen.words import Language

ITALIAN = Language(
    code="it",
    phrases={
        "filler": "eh,ehm,mmm,beh,allora,ah,oh,per favore,per piacere,senta,senti,ecco,insomma,dunque,guardi,hm,ora,"
        "poi",
        "it": "voglio,vorrei,può,puoi,potrebbe,questo,quello,lo,la,il,i,gli,le,l,un,una,mio,mia,mi,per me,"
        "per noi,per,tutto,prenotazione,la prenotazione,"
        "appuntamento,ordine,pagamento,io,è,di,del,della,che,e,ci,in,con",
        "yes": "sì,si,ok,okay,va bene,bene,molto bene,certo,d'accordo,perfetto,grazie,grazie mille,capito,"
        "ho capito,"
        "mm hm,mhm,capisco,ottimo,benissimo,nessun problema,non c'è problema,sì sì,figurati,si figuri,"
        "chiaro,bravo",
        "accept": "sì grazie,sì per favore,prego,esatto,esattamente,giusto,è corretto,corretto,proceda,faccia pure,"
        "lo faccia",
        "no": "no,no no",
        "decline": "no grazie,è tutto,basta così,nient'altro,niente altro,no è tutto",
        "not": "non,mai,né",
        "but": "ma,però,tranne,eccetto",
        "hold": "aspetti,aspetta,un momento,un attimo,un secondo,un minuto,momento,attimo,attenda,"
        "mi faccia pensare,"
        "fammi pensare,mi faccia vedere,non ancora,un attimino,solo un attimo",
        "stop": "stop,fermo,ferma,si fermi,fermati,alt,basta,smetta",
        "cancel": "annulla,annulli,annullare,cancella,cancelli,cancellare,lascia stare,lasci stare,lascia perdere,"
        "lasci perdere,non importa,fa niente,non lo faccia,non farlo,come non detto,disdica,disdici,disdire,"
        "non lo voglio più,non voglio più",
        "keep": "non annulli,non annullare,non cancelli,non cancellare,continui,continua,vada avanti,vai avanti",
        "change": "invece,piuttosto,al posto di,anziché,volevo dire,intendevo,intendo,cambi,cambia,cambiare,lo cambi,"
        "meglio,faccia,facciamo,è sbagliato,sbagliato,mi sono sbagliato,mi sono sbagliata,preferisco,"
        "preferirei,"
        "ho detto,bensì,sposti,sposta,lo sposti,modifichi,modifica,ho cambiato idea,anzi",
        "offer": "che ne dice di,che ne dici di,potrebbe essere,si può fare,è possibile",
        "also": "anche,e anche,inoltre,in più,e inoltre,un'altra cosa ancora,aggiunga",
        "topic": "a proposito,un'altra domanda,una domanda,altra domanda,un'altra cosa,tra l'altro,"
        "cambiando discorso",
        "ask": "che cosa,cosa,dove,dov'è,quando,perché,chi,come,quanto,quanta,quanti,quale,qual,a che ora,che ora,"
        "c'è,"
        "ci sono,avete,può dirmi,mi può dire,mi dica,posso,quanto costa,siete,accettate",
        "repair": "scusi,scusa,come scusi,come ha detto,può ripetere,ripeta,pronto,è ancora lì,mi sente,non la sento,"
        "non ho capito,c'è qualcuno,ciao,mi senti,che ha detto,cosa ha detto",
        "am": "di mattina,del mattino,della mattina",
        "pm": "di sera,della sera,del pomeriggio,di pomeriggio,stasera",
    },
    numbers=italian(),
    scales={"cento": 100, "mila": 1000, "mille": 1000},
    articles="un una uno",
    weekdays="lunedì martedì mercoledì giovedì venerdì sabato domenica",
    months="gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    today="oggi,domani,dopodomani",
    units={
        "people": "persone,persona,ospiti,coperti,posti,adulti",
        "nights": "notti,notte",
        "days": "giorni,giorno",
        "hours": "ora",
        "minutes": "minuti,minuto",
        "money": "euro,dollari,franchi,€,$",
        "count": "biglietti,bottiglie,camere,tavoli,tavolo",
    },
    at="alle,all,per le,verso le,dalle,le",
    oclock="in punto,ore",
    after={"e mezza": 30, "e mezzo": 30, "e un quarto": 15, "e quarto": 15, "meno un quarto": -15,
           "e dieci": 10, "meno dieci": -10, "e venti": 20, "meno venti": -20, "e cinque": 5, "meno cinque": -5},
    noon="mezzogiorno",
    midnight="mezzanotte",
)  # fmt: skip
