"""French."""

from toolguard.listen.numbers import french
from toolguard.listen.words import Language

FRENCH = Language(
    code="fr",
    phrases={
        "filler": "euh,heu,hum,hm,ben,bah,ah,oh,alors,s'il vous plaît,s'il te plaît,eh bien,enfin,donc,voyons,"
        "dites",
        "it": "je veux,je voudrais,voudrais,j aimerais,vous pouvez,peux,pouvez,ça,cela,le,la,les,l,un,une,mon,ma,"
        "moi,pour moi,pour nous,pour,tout,réservation,la réservation,rendez vous,"
        "commande,paiement,je,c,est,c est,de,du,d,à,et,nous,on,ce,y,en",
        "yes": "oui,ouais,ok,okay,d'accord,bien,très bien,parfait,merci,merci beaucoup,entendu,mm hm,mhm,je vois,"
        "je comprends,super,génial,pas de problème,pas de souci,bien sûr,ça va,c'est bon,c'est bien,"
        "c'est parfait,"
        "oui oui,prenez votre temps,très bien merci,impeccable",
        "accept": "oui s'il vous plaît,allez y,vas y,c'est ça,c'est exact,exact,exactement,tout à fait,faites le,"
        "c'est correct,oui allez y",
        "no": "non,nan,non non",
        "decline": "non merci,c'est tout,rien d'autre,ce sera tout,non c'est tout",
        "not": "pas,ne,n,jamais,aucun",
        "but": "mais,sauf,cependant,par contre",
        "hold": "attendez,attends,un moment,un instant,une seconde,une minute,deux secondes,patientez,minute,"
        "laissez moi réfléchir,laissez moi voir,ne quittez pas,pas encore,un petit instant,un petit moment,"
        "je réfléchis",
        "stop": "stop,arrêtez,arrête,halte,arrêtez ça",
        "cancel": "annulez,annule,annuler,annulez ça,annulez tout,laissez tomber,laisse tomber,oubliez,oubliez ça,"
        "oublie,"
        "ce n'est pas la peine,c'est pas la peine,tant pis,ne faites pas ça,ne le faites pas,je n'en veux plus,"
        "je ne veux plus,peu importe",
        "keep": "n'annulez pas,n'arrêtez pas,continuez,continue,ne l'annulez pas,poursuivez",
        "change": "plutôt,à la place,au lieu de,je voulais dire,je veux dire,changez,change,changer,modifiez,"
        "modifier,"
        "mettez,en fait,mieux,ce n'est pas ça,c'est pas ça,c'est faux,je préfère,je préférerais,j'ai dit,"
        "déplacez,"
        "je me suis trompé,je me suis trompée,c'est une erreur,faisons,reportez,j'ai changé d'avis",
        "offer": "et si on,que diriez vous de,ça serait possible,ce serait possible,est ce possible",
        "also": "aussi,et aussi,également,en plus,de plus,en outre,ajoutez,encore une chose,et en plus",
        "topic": "au fait,à propos,autre question,une question,une autre question,autre chose,sinon",
        "ask": "que,qu,quoi,où,quand,pourquoi,qui,comment,combien,quel,quelle,quels,quelles,à quelle heure,"
        "est ce que,"
        "est ce qu,y a t il,il y a,avez vous,pouvez vous me dire,dites moi,pouvez vous,puis je,c'est où,"
        "c'est combien,qu'est ce que,êtes vous,vous êtes,vous avez,vous acceptez",
        "repair": "pardon,excusez moi,comment ça,vous pouvez répéter,pouvez vous répéter,répétez,allô,bonjour,"
        "vous êtes là,vous êtes toujours là,vous m'entendez,je ne vous entends pas,je n'ai pas compris,désolé,"
        "vous avez dit quoi,qu'avez vous dit",
        "am": "du matin,le matin",
        "pm": "du soir,le soir,de l'après midi,ce soir",
    },
    numbers=french(),
    scales={"cent": 100, "cents": 100, "mille": 1000},
    articles="un une",
    weekdays="lundi mardi mercredi jeudi vendredi samedi dimanche",
    months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    today="aujourd'hui,demain,après demain",
    units={
        "people": "personnes,personne,gens,convives,invités,couverts,places,adultes",
        "nights": "nuits,nuit,nuitées",
        "days": "jours,jour",
        "minutes": "minutes",
        "money": "euros,euro,dollars,francs,€,$",
        "count": "billets,tickets,bouteilles,chambres,tables,table",
    },
    at="à,vers,pour",
    oclock="heures,heure,h",
    after={"et demie": 30, "et demi": 30, "et quart": 15, "moins le quart": -15, "moins quart": -15,
           "moins dix": -10, "moins cinq": -5, "moins vingt": -20},
    noon="midi",
    midnight="minuit",
    ordinals="er",
)  # fmt: skip
